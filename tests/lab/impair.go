package lab

import (
	"context"
	"fmt"
	"time"
)

// Impair delays what leaves by an interface, and loses some percent of it
// (tc-netem(8)). It ends the test where the kernel lacks CONFIG_NET_SCH_NETEM.
func (h *Host) Impair(iface string, delay time.Duration, loss float64) {
	h.net.tb.Helper()
	args := []string{"qdisc", "replace", "dev", iface, "root", "netem", "limit", "100000"}
	if delay > 0 {
		args = append(args, "delay", fmt.Sprintf("%dus", delay.Microseconds()))
	}
	if loss > 0 {
		args = append(args, "loss", fmt.Sprintf("%g%%", loss))
	}
	ctx, cancel := context.WithTimeout(context.Background(), stopPatience)
	defer cancel()
	if _, err := h.Output(ctx, "tc", args...); err != nil {
		h.net.tb.Fatalf("lab: impairing %s: %v", iface, err)
	}
}
