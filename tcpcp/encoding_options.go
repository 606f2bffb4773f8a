package tcpcp

import (
	"encoding/binary"
	"fmt"
)

// The options' numbers. A number is never given another meaning.
const (
	numNoDelay             = 1
	numCork                = 2
	numKeepAlive           = 3
	numKeepAliveIdle       = 4
	numKeepAliveInterval   = 5
	numKeepAliveCount      = 6
	numUserTimeout         = 7
	numCongestion          = 8
	numSendBuffer          = 9
	numReceiveBuffer       = 10
	numSendBufferLocked    = 11
	numReceiveBufferLocked = 12
	numTrafficClass        = 13
	numNotSentLowat        = 14
	numOOBInline           = 15
	numLinger              = 16
	numCongestionWindow    = 17
	numSegmentSize         = 18
	numsKnown              = numSegmentSize
)

// maxOptions bounds the encoded options, unknown ones included.
const maxOptions = 4096

// append encodes the options. A flag that is off, or a number that is zero, is
// left out; a flag that is on has no value.
func (o *Options) append(b []byte) []byte {
	flag := func(num byte, v bool) {
		if v {
			b = append(b, num, 0)
		}
	}
	word := func(num byte, v uint32) {
		if v != 0 {
			b = append(b, num, 4)
			b = binary.BigEndian.AppendUint32(b, v)
		}
	}
	flag(numNoDelay, o.NoDelay)
	flag(numCork, o.Cork)
	flag(numKeepAlive, o.KeepAlive)
	word(numKeepAliveIdle, uint32(o.KeepAliveIdle))
	word(numKeepAliveInterval, uint32(o.KeepAliveInterval))
	word(numKeepAliveCount, uint32(o.KeepAliveCount))
	word(numUserTimeout, uint32(o.UserTimeout))
	if o.Congestion != "" {
		b = append(b, numCongestion, byte(len(o.Congestion)))
		b = append(b, o.Congestion...)
	}
	word(numSendBuffer, o.SendBuffer)
	word(numReceiveBuffer, o.ReceiveBuffer)
	flag(numSendBufferLocked, o.SendBufferLocked)
	flag(numReceiveBufferLocked, o.ReceiveBufferLocked)
	word(numTrafficClass, uint32(o.TrafficClass))
	word(numNotSentLowat, o.NotSentLowat)
	flag(numOOBInline, o.OOBInline)
	if o.Linger { // its time may be zero
		b = append(b, numLinger, 4)
		b = binary.BigEndian.AppendUint32(b, uint32(o.LingerSeconds))
	}
	word(numCongestionWindow, o.CongestionWindow)
	word(numSegmentSize, o.SegmentSize)
	return b
}

// parse decodes what append wrote, and what a newer version may have added.
func (o *Options) parse(b []byte) error {
	last := 0
	for len(b) > 0 {
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			return fmt.Errorf("%w: option is cut off", ErrFormat)
		}
		num, value := b[0], b[2:2+int(b[1])]
		b = b[2+len(value):]
		if int(num) <= last {
			return fmt.Errorf("%w: option %d after %d", ErrFormat, num, last)
		}
		last = int(num)
		if err := o.parseOne(num, value); err != nil {
			return err
		}
	}
	return nil
}

func (o *Options) parseOne(num byte, value []byte) error {
	if num > numsKnown {
		return nil // of a newer version
	}
	if num == numCongestion {
		if len(value) == 0 || len(value) > maxCongestionName {
			return fmt.Errorf("%w: congestion control name of %d bytes", ErrFormat, len(value))
		}
		o.Congestion = cString(value)
		if len(o.Congestion) != len(value) {
			return fmt.Errorf("%w: NUL in the congestion control name", ErrFormat)
		}
		return nil
	}
	if flag := o.flag(num); flag != nil {
		if len(value) != 0 {
			return fmt.Errorf("%w: option %d is a flag, and has %d bytes", ErrFormat, num, len(value))
		}
		*flag = true
		return nil
	}
	if len(value) != 4 {
		return fmt.Errorf("%w: option %d is a number, and has %d bytes", ErrFormat, num, len(value))
	}
	return o.setWord(num, binary.BigEndian.Uint32(value))
}

// flag is where a flag option belongs, nil if num is none.
func (o *Options) flag(num byte) *bool {
	switch num {
	case numNoDelay:
		return &o.NoDelay
	case numCork:
		return &o.Cork
	case numKeepAlive:
		return &o.KeepAlive
	case numSendBufferLocked:
		return &o.SendBufferLocked
	case numReceiveBufferLocked:
		return &o.ReceiveBufferLocked
	case numOOBInline:
		return &o.OOBInline
	}
	return nil
}

func (o *Options) setWord(num byte, v uint32) error {
	switch num {
	case numKeepAliveIdle:
		o.KeepAliveIdle = int32(v)
	case numKeepAliveInterval:
		o.KeepAliveInterval = int32(v)
	case numKeepAliveCount:
		o.KeepAliveCount = int32(v)
	case numUserTimeout:
		o.UserTimeout = int32(v)
	case numSendBuffer:
		o.SendBuffer = v
	case numReceiveBuffer:
		o.ReceiveBuffer = v
	case numTrafficClass:
		if v > 0xff {
			return fmt.Errorf("%w: traffic class %d", ErrFormat, v)
		}
		o.TrafficClass = uint8(v)
	case numNotSentLowat:
		o.NotSentLowat = v
	case numLinger:
		o.Linger, o.LingerSeconds = true, int32(v)
	case numCongestionWindow:
		o.CongestionWindow = v
	case numSegmentSize:
		o.SegmentSize = v
	default:
		return fmt.Errorf("%w: option %d", ErrFormat, num)
	}
	return nil
}
