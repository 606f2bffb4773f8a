package xfrm

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
)

// ESP is an ipsec.Kernel: the associations and policies of RFC 3776 §4 in the
// kernel, which are of type main and so apply beside those of a Plane.
type ESP struct {
	conn *conn

	mu          sync.Mutex
	declared    espRules
	unprotected uint64 // of the kernel's counter, when we began
}

var _ ipsec.Kernel = (*ESP)(nil)

// NewESP opens it in the network namespace of the calling thread, and takes away
// what a dead process left. A *dataplane.MissingError says that the kernel
// has no ESP, or not all of its algorithms.
func NewESP() (*ESP, error) {
	c, err := dial()
	if err != nil {
		return nil, fmt.Errorf("xfrm: %w", err)
	}
	e := &ESP{conn: c}
	if err := errors.Join(e.conn.removeESP(), e.try()); err != nil {
		return nil, fmt.Errorf("xfrm: ESP: %w", errors.Join(err, c.Close()))
	}
	if e.unprotected, err = mismatches(); err != nil {
		return nil, fmt.Errorf("xfrm: ESP: %w", errors.Join(err, c.Close()))
	}
	return e, nil
}

// try makes an association of each algorithm, with addresses that lead nowhere
// (RFC 6666), and takes it away at once.
func (e *ESP) try() error {
	for _, a := range esp.Algorithms() {
		s := espState{
			espID:     espID{dst: nowhere, spi: 256},
			src:       nowhere.Next(),
			reqid:     espFirst,
			algorithm: a, key: make([]byte, a.KeyLen()),
		}
		if _, err := e.conn.do(addESP(s), deleteESP(s.espID)); err != nil {
			return dataplane.Explain(err, "CONFIG_INET6_ESP or the algorithm "+string(a))
		}
	}
	return nil
}

// Declare implements ipsec.Kernel. Associations come before the policies that ask
// for them, and go after them; one that stays is not touched, nor its numbers.
func (e *ESP) Declare(pairs []ipsec.KernelPair) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	wanted := rulesOf(pairs)
	if err := e.replace(wanted); err != nil {
		return fmt.Errorf("xfrm: ESP: %w", err)
	}
	return nil
}

func (e *ESP) replace(wanted espRules) error {
	var steps []step
	for id, s := range wanted.states {
		if was, ok := e.declared.states[id]; !ok {
			steps = append(steps, addESP(s))
		} else if !was.same(s) {
			steps = append(steps, deleteESP(id), addESP(s))
		}
	}
	for id, p := range wanted.policies {
		if was, ok := e.declared.policies[id]; !ok || !was.same(p) {
			steps = append(steps, setESPPolicy(p))
		}
	}
	for id := range e.declared.policies {
		if _, ok := wanted.policies[id]; !ok {
			steps = append(steps, deleteESPPolicy(id))
		}
	}
	for id := range e.declared.states {
		if _, ok := wanted.states[id]; !ok {
			steps = append(steps, deleteESP(id))
		}
	}
	_, err := e.conn.do(steps...)
	if err != nil {
		// Unknown now: the next declaration begins anew.
		e.declared = espRules{}
		return errors.Join(err, e.conn.removeESP())
	}
	e.declared = wanted
	return nil
}

// Uses implements ipsec.Kernel.
func (e *ESP) Uses() (map[uint32]ipsec.KernelUse, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	ids := slices.Collect(maps.Keys(e.declared.states))
	steps := make([]step, len(ids))
	for i, id := range ids {
		steps[i] = step{what: "reading " + id.String(), message: id.message(msgGetState), ignore: []error{unix.ESRCH}}
	}
	answers, err := e.conn.do(steps...)
	if err != nil {
		return nil, fmt.Errorf("xfrm: ESP: %w", err)
	}
	uses := make(map[uint32]ipsec.KernelUse, len(ids))
	for i, m := range answers {
		if len(m.Data) == 0 { // somebody took it away
			continue
		}
		info, err := parseESP(m)
		if err != nil {
			return nil, err
		}
		use := ipsec.KernelUse{Sequence: info.received, Packets: info.packets}
		if e.declared.states[ids[i]].sends {
			use.Sequence = info.sent
		}
		uses[ids[i].spi] = use
	}
	return uses, nil
}

// Unprotected implements ipsec.Kernel. The kernel counts for all policies of the
// network namespace together.
func (e *ESP) Unprotected() (uint64, error) {
	n, err := mismatches()
	return n - min(n, e.unprotected), err
}

// mismatches are the packets that came in another way than a policy wants.
func mismatches() (uint64, error) {
	f, err := os.Open("/proc/thread-self/net/xfrm_stat")
	if errors.Is(err, os.ErrNotExist) { // CONFIG_XFRM_STATISTICS: only for counting
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) == 2 && f[0] == "XfrmInTmplMismatch" {
			return strconv.ParseUint(f[1], 10, 64)
		}
	}
	return 0, nil
}

// Close takes everything out of the kernel.
func (e *ESP) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := errors.Join(e.replace(espRules{}), e.conn.Close()); err != nil {
		return fmt.Errorf("xfrm: ESP: closing: %w", err)
	}
	return nil
}

// removeESP takes away all that has an ESP's reqids and priorities: policies
// first, as in replace.
func (c *conn) removeESP() error {
	var steps []step
	messages, err := c.dump(msgGetPolicy)
	if err != nil {
		return fmt.Errorf("listing policies: %w", err)
	}
	for _, m := range messages {
		id, ours, err := parseESPPolicy(m)
		if err != nil {
			return err
		}
		if ours {
			steps = append(steps, deleteESPPolicy(id))
		}
	}
	if messages, err = c.dump(msgGetState); err != nil {
		return fmt.Errorf("listing states: %w", err)
	}
	for _, m := range messages {
		info, err := parseESP(m)
		if err != nil {
			return err
		}
		if info.ours() {
			steps = append(steps, deleteESP(info.espID))
		}
	}
	_, err = c.do(steps...)
	return err
}

func addESP(s espState) step {
	return step{what: "adding " + s.String(), message: s.message()}
}

func deleteESP(i espID) step {
	return step{what: "removing " + i.String(), message: i.message(msgDelState), ignore: []error{unix.ESRCH}}
}

func setESPPolicy(p espPolicy) step {
	return step{what: "setting " + p.String(), message: p.message()}
}

func deleteESPPolicy(i espPolicyID) step {
	return step{what: "removing " + i.String(), message: i.message(msgDelPolicy), ignore: []error{unix.ENOENT}}
}
