package election

import (
	"fmt"
	"log/slog"
	"net/netip"
)

// action is something that the core wants done. String is for the scenario files.
type action interface{ String() string }

// pingAction: tell a replica our view, and report its answer (core.heard) or that
// there was none (core.failed).
type pingAction struct {
	to   netip.Addr
	view View
}

func (a pingAction) String() string { return fmt.Sprintf("ping %v: %v", a.to, a.view) }

// succeedAction: register at the home agent if nobody has since the epoch; if none
// is known, with whatever number it takes. The outcome is core.registered.
type succeedAction struct {
	epoch uint16
	known bool
}

func (a succeedAction) String() string {
	if !a.known {
		return "become contact node"
	}
	return fmt.Sprintf("become contact node after epoch %d", a.epoch)
}

// confirmAction: register once more as contact node. The outcome is core.registered.
type confirmAction struct{}

func (confirmAction) String() string { return "ask the home agent whether we are contact node" }

// followAction: that replica is contact node.
type followAction struct {
	node  netip.Addr
	epoch uint16
}

func (a followAction) String() string { return fmt.Sprintf("follow %v, epoch %d", a.node, a.epoch) }

// logAction: worth an operator's attention.
type logAction struct {
	level slog.Level
	msg   string
	args  []any
}

func (a logAction) String() string {
	s := fmt.Sprintf("log %v: %s", a.level, a.msg)
	for i := 0; i+1 < len(a.args); i += 2 {
		s += fmt.Sprintf(" %v=%v", a.args[i], a.args[i+1])
	}
	return s
}
