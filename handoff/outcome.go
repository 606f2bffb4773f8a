package handoff

import (
	"encoding/binary"
	"fmt"
)

// Verdict is what an acceptor says of an offer or a handoff.
type Verdict uint8

// The values are on the wire.
const (
	VerdictAccepted Verdict = iota + 1 // it has the client; of an offer: it would take it
	VerdictRefused                     // it does not and will not
	VerdictUnknown                     // it never heard of that handoff, and will not take it any more
	VerdictPending                     // it is not decided yet
	verdicts
)

var verdictNames = [verdicts]string{"", "accepted", "refused", "unknown", "pending"}

// String names the verdict.
func (v Verdict) String() string { return verdictNames[v] }

// Outcome is an acceptor's answer.
type Outcome struct {
	Verdict Verdict
	// Touched: a Binding Update of the acceptor may have reached the client
	// before it gave up, so the donor has to bind the client anew.
	Touched bool
	Reason  Reason
	Text    string
	// Instance names the acceptor's process: it changes when it restarts.
	Instance uint64
}

// refusal is the donor's error of an outcome that is not VerdictAccepted. The
// caller fills in the target.
func (o Outcome) refusal() *RefusedError {
	if o.Verdict == VerdictUnknown {
		return &RefusedError{Reason: ReasonUnknown}
	}
	return &RefusedError{Reason: o.Reason, Text: o.Text}
}

// An outcome on the wire, in network byte order:
//
//	version 8 | verdict 8 | reason 8 | flags 8 (1: touched) | instance 64 | text
const (
	outcomeLen  = 12
	flagTouched = 1
)

func (o Outcome) marshal() []byte {
	b := append(make([]byte, 0, outcomeLen+len(o.Text)), messageVersion, byte(o.Verdict), byte(o.Reason), 0)
	if o.Touched {
		b[3] = flagTouched
	}
	b = binary.BigEndian.AppendUint64(b, o.Instance)
	return append(b, o.Text[:min(len(o.Text), maxText)]...)
}

func parseOutcome(b []byte) (Outcome, error) {
	if len(b) < outcomeLen || len(b) > outcomeLen+maxText {
		return Outcome{}, fmt.Errorf("%w: outcome of %d bytes", ErrMalformed, len(b))
	}
	if b[0] != messageVersion {
		return Outcome{}, fmt.Errorf("%w: outcome of version %d", ErrMalformed, b[0])
	}
	o := Outcome{
		Verdict: Verdict(b[1]), Reason: Reason(b[2]), Touched: b[3] == flagTouched,
		Instance: binary.BigEndian.Uint64(b[4:]), Text: string(b[outcomeLen:]),
	}
	if o.Verdict == 0 || o.Verdict >= verdicts || b[3]&^flagTouched != 0 {
		return Outcome{}, fmt.Errorf("%w: outcome with verdict %d, flags %#x", ErrMalformed, b[1], b[3])
	}
	return o, nil
}
