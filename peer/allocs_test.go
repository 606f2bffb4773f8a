package peer

import (
	"bytes"
	"testing"
)

// A frame that is read, and a message that goes out in one, allocate nothing but
// the message itself.
func TestFrameAllocations(t *testing.T) {
	body := make([]byte, 300)
	wire := append(header{length: len(body), typ: frameRequest, kind: KindOffer, id: 1}.append(nil), body...)
	r := bytes.NewReader(nil)
	in := make([]byte, headerLen+maxFragment)
	if allocs := testing.AllocsPerRun(1000, func() {
		r.Reset(wire)
		if _, _, err := readFrame(r, in); err != nil {
			t.Fatal(err)
		}
	}); allocs > 0 {
		t.Errorf("reading a frame: %v allocations", allocs)
	}

	var q sendQueue
	out := make([]byte, 0, maxFragment+headerLen)
	messages := [8]outgoing{}
	if allocs := testing.AllocsPerRun(1000, func() {
		for i := range messages {
			messages[i] = outgoing{typ: frameResponse, id: 1, body: body}
			q.push(&messages[i])
		}
		out = q.fill(out[:0], cap(out))
		if len(out) != len(messages)*(headerLen+len(body)) || !q.empty() {
			t.Fatalf("%d bytes of %d messages", len(out), len(messages))
		}
	}); allocs > 0 {
		t.Errorf("queueing and filling a batch: %v allocations", allocs)
	}
}
