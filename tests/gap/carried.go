package gap

// carried is which bytes of a stream went over the link: one that overtook another
// is not one that was sent twice.
type carried struct {
	first uint32 // sequence number
	bytes []bool
	again int // segments with bytes that had been there
}

// segment notes one. What comes before the first one seen is not of the stream.
func (c *carried) segment(seq, length uint32) {
	if length == 0 {
		return
	}
	if c.bytes == nil {
		c.first = seq
	}
	at := int(int32(seq - c.first))
	if at < 0 {
		return
	}
	if more := at + int(length) - len(c.bytes); more > 0 {
		c.bytes = append(c.bytes, make([]bool, more)...)
	}
	was := false
	for i := range length {
		b := &c.bytes[at+int(i)]
		was = was || *b
		*b = true
	}
	if was {
		c.again++
	}
}
