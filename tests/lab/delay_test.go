package lab

import (
	"context"
	"net/netip"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// What goes over a delayed link and comes back takes at least twice its delay, and
// more than one packet is on the way at once.
func TestDelayedLink(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	const delay = 30 * time.Millisecond
	n := New(t)
	a, b := n.Host("a"), n.Host("b")
	ifaceA, ifaceB := n.Link(a, b, DelayedTo(map[string]time.Duration{"b": delay}))
	a.Addr(ifaceA, netip.MustParsePrefix("2001:db8::1/64"))
	b.Addr(ifaceB, netip.MustParsePrefix("2001:db8::2/64"))
	const pings = "20"
	out, err := a.Output(ctx, "ping", "-6", "-c", pings, "-i", "0.002", "-W5", "2001:db8::2")
	if err != nil {
		t.Fatal(err)
	}
	times := regexp.MustCompile(`time=([0-9.]+) ms`).FindAllStringSubmatch(out, -1)
	if strconv.Itoa(len(times)) != pings {
		t.Errorf("%d answers to %s:\n%s", len(times), pings, out)
	}
	for _, m := range times {
		ms, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		if least := float64(2 * delay.Milliseconds()); ms < least {
			t.Errorf("there and back in %v ms, want at least %v", ms, least)
		}
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
