package xfrm

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// conn speaks with the kernel's XFRM. Not safe for concurrent use.
type conn struct{ nl *netlink.Conn }

// dial opens it in the network namespace of the calling thread.
func dial() (*conn, error) {
	nl, err := netlink.Dial(unix.NETLINK_XFRM, nil)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", dataplane.Explain(err, "CONFIG_XFRM_USER"))
	}
	// The kernel's own words come along where it has some.
	if err := nl.SetOption(netlink.ExtendedAcknowledge, true); err != nil {
		return nil, errors.Join(fmt.Errorf("opening netlink: %w", err), nl.Close())
	}
	return &conn{nl}, nil
}

func (c *conn) Close() error { return c.nl.Close() }

// request makes a message that the kernel acknowledges, or, where it asks for
// something, answers.
func request(kind netlink.HeaderType, body []byte, attributes ...netlink.Attribute) netlink.Message {
	encoded, err := netlink.MarshalAttributes(attributes)
	if err != nil {
		panic(err) // an attribute of ours is longer than 64 KB: cannot be
	}
	flags := netlink.Request
	if kind != msgGetState && kind != msgGetPolicy {
		flags |= netlink.Acknowledge
	}
	return netlink.Message{Header: netlink.Header{Type: kind, Flags: flags}, Data: append(body, encoded...)}
}

// step is one request of a batch.
type step struct {
	what    string // for errors: "adding state …"
	message netlink.Message
	ignore  []error // answers that are as good as success
	last    bool    // reads a state before it goes
}

func addState(s state) step {
	return step{what: "adding " + s.String(), message: s.message(msgNewState)}
}
func changeState(s state) step {
	return step{what: "changing " + s.String(), message: s.message(msgUpdateState)}
}
func deleteState(i stateID) step {
	return step{what: "removing " + i.String(), message: i.message(msgDelState), ignore: []error{unix.ESRCH}}
}
func getState(i stateID) step {
	return step{what: "reading " + i.String(), message: i.message(msgGetState), ignore: []error{unix.ESRCH}}
}
func setPolicy(p policy) step {
	return step{what: "setting " + p.String(), message: p.message(msgUpdatePolicy)}
}
func deletePolicy(i policyID) step {
	return step{what: "removing " + i.String(), message: i.message(msgDelPolicy), ignore: []error{unix.ENOENT}}
}
func getPolicy(i policyID) step {
	return step{what: "reading " + i.String(), message: i.message(msgGetPolicy), ignore: []error{unix.ENOENT}}
}

// batchSize bounds what is sent at once, for the answers must fit the socket's
// buffer.
const batchSize = 64

// do sends the steps, many at once, and returns the answer to each; one that
// failed has the zero message. The kernel goes on after a failure.
func (c *conn) do(steps ...step) ([]netlink.Message, error) {
	answers := make([]netlink.Message, 0, len(steps))
	var errs []error
	for len(steps) > 0 {
		n := min(len(steps), batchSize)
		got, err := c.batch(steps[:n])
		answers = append(answers, got...)
		errs = append(errs, err)
		steps = steps[n:]
	}
	return answers, errors.Join(errs...)
}

func (c *conn) batch(steps []step) ([]netlink.Message, error) {
	messages := make([]netlink.Message, len(steps))
	for i := range steps {
		messages[i] = steps[i].message
	}
	if _, err := c.nl.SendMessages(messages); err != nil {
		return make([]netlink.Message, len(steps)), fmt.Errorf("%s: %w", steps[0].what, err)
	}
	// The kernel answers each, in their order.
	answers := make([]netlink.Message, 0, len(steps))
	var errs []error
	for len(answers) < len(steps) {
		s := steps[len(answers)]
		got, err := c.nl.Receive()
		var refused *netlink.OpError
		if err != nil && !(errors.As(err, &refused) && refused.Sequence != 0) { // not the kernel's answer
			return append(answers, make([]netlink.Message, len(steps)-len(answers))...), fmt.Errorf("%s: %w", s.what, err)
		}
		if err != nil {
			answers = append(answers, netlink.Message{})
			if !ignored(err, s.ignore) {
				errs = append(errs, fmt.Errorf("%s: %w", s.what, err))
			}
			continue
		}
		answers = append(answers, got...)
	}
	return answers, errors.Join(errs...)
}

func ignored(err error, list []error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// states lists ours.
func (c *conn) states() ([]stateInfo, error) {
	messages, err := c.dump(msgGetState)
	if err != nil {
		return nil, fmt.Errorf("listing states: %w", err)
	}
	var list []stateInfo
	for _, m := range messages {
		i, err := parseState(m)
		if err != nil {
			return nil, err
		}
		if i.ours() {
			list = append(list, i)
		}
	}
	return list, nil
}

// policies lists ours.
func (c *conn) policies() ([]policyInfo, error) {
	messages, err := c.dump(msgGetPolicy)
	if err != nil {
		return nil, fmt.Errorf("listing policies: %w", err)
	}
	var list []policyInfo
	for _, m := range messages {
		i, err := parsePolicy(m)
		if err != nil {
			return nil, err
		}
		if i.ours() {
			list = append(list, i)
		}
	}
	return list, nil
}

func (c *conn) dump(kind netlink.HeaderType) ([]netlink.Message, error) {
	return c.nl.Execute(netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request | netlink.Dump}})
}
