package tcpcp

import "testing"

// What is sent after a move is in segments as long as before.
func TestSegmentsStayLong(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	c.talk(t)
	before := infoOf(t, c.fd).segmentSize
	if before <= assumedMSS {
		t.Fatalf("segments of %d bytes before; the laboratory's links take longer ones", before)
	}
	c.move(t, c.b)
	c.talk(t)
	if after := infoOf(t, c.fd).segmentSize; after != before {
		t.Errorf("segments of %d bytes, %d before the move", after, before)
	}
}
