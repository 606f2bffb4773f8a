package tcpcp

// initialWindow is how many segments a new connection may send (RFC 6928 §2).
const initialWindow = 10

// firstWindow is the congestion window that an inserted connection needs so that
// it does not fall silent until most of what is on its way is acknowledged; 0 if
// what every connection begins with will do.
//
// What is on its way has left from the donor; of our own no more is let go at once
// than a new connection may send, and what follows is clocked by acknowledgements.
// The two together are never more than the donor was allowed.
func (e *Endpoint) firstWindow() uint32 {
	o := &e.Options
	if len(e.Sent) == 0 || o.CongestionWindow <= initialWindow || o.SegmentSize < minMSS {
		return 0
	}
	sent := (uint32(len(e.Sent)) + o.SegmentSize - 1) / o.SegmentSize
	return min(o.CongestionWindow, sent+initialWindow)
}

// setFirstWindow must come before connect, where congestion control begins.
func (i *Inserted) setFirstWindow() {
	segments := i.endpoint.firstWindow()
	if segments == 0 || i.window == nil {
		return
	}
	if err := i.window(i.fd, segments); err != nil {
		i.notes = append(i.notes, err)
	}
}
