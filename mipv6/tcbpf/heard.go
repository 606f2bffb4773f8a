package tcbpf

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Heard implements dataplane.Hearer.
func (p *Plane) Heard(f dataplane.Flow) (bool, error) {
	if err := p.enter(); err != nil {
		return false, err
	}
	defer p.mu.Unlock()
	state, ok := p.flows[f]
	if !ok || state.undeclared {
		return false, fmt.Errorf("tcbpf: flow %v: heard: %w", f, dataplane.ErrRoute)
	}
	// A program that still sees the route before may be at work on another
	// processor; when this returns none is.
	const membarrierGlobal = 1 // MEMBARRIER_CMD_GLOBAL: a grace period of RCU
	if _, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0); errno != 0 {
		return false, fmt.Errorf("tcbpf: flow %v: heard: membarrier: %w", f, dataplane.Explain(errno, "CONFIG_MEMBARRIER"))
	}
	heard, err := p.stamps.heard(state.slot)
	if err != nil {
		return false, fmt.Errorf("tcbpf: flow %v: heard: reading its stamp: %w", f, err)
	}
	return heard, nil
}
