package handoff

import "fmt"

// Mode says how much of a handoff is done before the client is frozen, and what
// becomes of its packets meanwhile. Each does what the one before does, and more.
type Mode uint8

// The values are on the wire.
const (
	// ModeBasic is the thesis's normal handover (its §3.2.2): return routability
	// and binding while the client is frozen.
	ModeBasic Mode = iota + 1
	// ModePrepared is the thesis's optimised handover (its §3.2.3): the acceptor
	// does return routability when the client is offered, while the donor serves
	// it. Only the endpoint's way and one Binding Update are left.
	ModePrepared
	// ModeSeamless loses no packet on top of that: what the client sends to the
	// donor from the freeze on goes to the acceptor, which keeps it until the
	// endpoint lives there.
	ModeSeamless
	modes

	// ModeBest is the best that there is.
	ModeBest = modes - 1
)

var modeNames = [modes]string{"", "basic", "prepared", "seamless"}

// String names the mode as the configuration does.
func (m Mode) String() string {
	if m.valid() {
		return modeNames[m]
	}
	return fmt.Sprintf("mode %d", uint8(m))
}

func (m Mode) valid() bool { return m > 0 && m < modes }

// ParseMode is the mode of a name; false if there is none.
func ParseMode(name string) (Mode, bool) {
	for m := ModeBasic; m < modes; m++ {
		if modeNames[m] == name {
			return m, true
		}
	}
	return 0, false
}
