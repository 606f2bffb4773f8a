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
	// Mode is, of an accepted offer, how the acceptor is ready to take the
	// client: the donor's wish or less.
	Mode Mode
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
//	version 8 | verdict 8 | reason 8 | flags 8 (1: touched)
//	mode 8 (of an accepted offer, else 0) | reserved 24 | instance 64 | text
const (
	outcomeLen  = 16
	flagTouched = 1
)

func (o Outcome) marshal() []byte {
	b := append(make([]byte, 0, outcomeLen+len(o.Text)), messageVersion, byte(o.Verdict), byte(o.Reason), 0, byte(o.Mode), 0, 0, 0)
	if o.Touched {
		b[3] = flagTouched
	}
	b = binary.BigEndian.AppendUint64(b, o.Instance)
	return append(b, o.Text[:min(len(o.Text), maxText)]...)
}

func parseOutcome(b []byte) (Outcome, error) {
	if len(b) > 0 && b[0] != messageVersion {
		return Outcome{}, fmt.Errorf("%w: outcome: %w: %d, want %d", ErrMalformed, errVersion, b[0], messageVersion)
	}
	if len(b) < outcomeLen || len(b) > outcomeLen+maxText {
		return Outcome{}, fmt.Errorf("%w: outcome of %d bytes", ErrMalformed, len(b))
	}
	o := Outcome{
		Verdict: Verdict(b[1]), Reason: Reason(b[2]), Touched: b[3] == flagTouched,
		Mode:     Mode(b[4]),
		Instance: binary.BigEndian.Uint64(b[8:]), Text: string(b[outcomeLen:]),
	}
	if o.Verdict == 0 || o.Verdict >= verdicts || b[3]&^flagTouched != 0 || o.Mode >= modes || b[5] != 0 || b[6] != 0 || b[7] != 0 {
		return Outcome{}, fmt.Errorf("%w: outcome with verdict %d, flags %#x, mode % x", ErrMalformed, b[1], b[3], b[4:8])
	}
	return o, nil
}
