package tcpcp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
)

// The encoding, all integers big-endian:
//
//	 0  "tcpE"
//	 4  version, 1
//	 5  state
//	 6  flags
//	 8  local address, port; remote address, port
//	44  SendNext, ReceiveNext
//	52  Window: five words in the order of the struct
//	72  MSS, send scale, receive scale
//	76  Timestamp
//	80  lengths of Sent, Unsent, Received
//	92  length of the options; two bytes of zero
//	96  options, Sent, Unsent, Received
//
// What the fixed part means is fixed for the version: another version, or a flag
// that is not known, is refused (ErrVersion), because a connection that is
// restored in part is a corrupted one. Options are another matter: each is
// {number, length, value} with numbers rising, and one that is not known is
// skipped. So a newer donor may send options that an older acceptor has not.
const (
	encodingMagic   = "tcpE"
	encodingVersion = 1
	encodingFixed   = 96
)

const (
	flagReadShut = 1 << iota
	flagWindowScaling
	flagSACK
	flagTimestamps
	flagTimestampMicro
	flagsKnown = 1<<iota - 1
)

// MaxEncoded bounds an encoded endpoint, in bytes.
const MaxEncoded = encodingFixed + maxOptions + MaxQueues

// MarshalBinary encodes the endpoint. Errors are those of Validate.
func (e *Endpoint) MarshalBinary() ([]byte, error) {
	// The most that the options of this version take is 112 bytes.
	return e.AppendBinary(make([]byte, 0, encodingFixed+128+e.Queued()))
}

// AppendBinary appends the encoding to b.
func (e *Endpoint) AppendBinary(b []byte) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return b, err
	}
	start := len(b)
	b = append(b, encodingMagic...)
	b = append(b, encodingVersion, byte(e.State))
	b = binary.BigEndian.AppendUint16(b, e.flags())
	for _, a := range [...]netip.AddrPort{e.Local, e.Remote} {
		ip := a.Addr().As16()
		b = append(b, ip[:]...)
		b = binary.BigEndian.AppendUint16(b, a.Port())
	}
	w := &e.Window
	for _, v := range [...]uint32{e.SendNext, e.ReceiveNext,
		w.SendWL1, w.SendWindow, w.MaxWindow, w.ReceiveWindow, w.ReceiveWUP} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = binary.BigEndian.AppendUint16(b, e.MSS)
	b = append(b, e.SendScale, e.ReceiveScale)
	for _, v := range [...]uint32{e.Timestamp, uint32(len(e.Sent)), uint32(len(e.Unsent)), uint32(len(e.Received))} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	b = append(b, 0, 0, 0, 0) // the options' length, known in a moment; zero
	b = e.Options.append(b)
	binary.BigEndian.PutUint16(b[start+92:], uint16(len(b)-start-encodingFixed))
	b = append(b, e.Sent...)
	b = append(b, e.Unsent...)
	return append(b, e.Received...), nil
}

func (e *Endpoint) flags() (f uint16) {
	for _, x := range [...]struct {
		set  bool
		flag uint16
	}{
		{e.ReadShut, flagReadShut},
		{e.WindowScaling, flagWindowScaling},
		{e.SACK, flagSACK},
		{e.Timestamps, flagTimestamps},
		{e.TimestampMicro, flagTimestampMicro},
	} {
		if x.set {
			f |= x.flag
		}
	}
	return f
}

// UnmarshalBinary decodes what MarshalBinary wrote, all of b, into e, and keeps
// nothing of b. Errors: ErrFormat, ErrVersion, ErrState, ErrTooLarge; e is then
// unchanged.
func (e *Endpoint) UnmarshalBinary(b []byte) error {
	p, err := Parse(b)
	if err != nil {
		return err
	}
	p.Sent, p.Unsent, p.Received = slices.Clone(p.Sent), slices.Clone(p.Unsent), slices.Clone(p.Received)
	*e = *p
	return nil
}

// Parse is UnmarshalBinary without the copy: the endpoint's queues are parts of b.
func Parse(b []byte) (*Endpoint, error) {
	if len(b) < encodingFixed {
		return nil, fmt.Errorf("%w: %d bytes, at least %d", ErrFormat, len(b), encodingFixed)
	}
	if string(b[:4]) != encodingMagic {
		return nil, fmt.Errorf("%w: does not begin with %q", ErrFormat, encodingMagic)
	}
	if b[4] != encodingVersion {
		return nil, fmt.Errorf("%w: %d, this is %d", ErrVersion, b[4], encodingVersion)
	}
	flags := binary.BigEndian.Uint16(b[6:])
	if flags&^flagsKnown != 0 {
		return nil, fmt.Errorf("%w: flags %#x", ErrVersion, flags)
	}
	u := func(at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	e := &Endpoint{
		Local: addrPortAt(b[8:]), Remote: addrPortAt(b[26:]),
		State:    State(b[5]),
		ReadShut: flags&flagReadShut != 0,
		SendNext: u(44), ReceiveNext: u(48),
		Window: Window{SendWL1: u(52), SendWindow: u(56), MaxWindow: u(60), ReceiveWindow: u(64), ReceiveWUP: u(68)},
		MSS:    binary.BigEndian.Uint16(b[72:]), SendScale: b[74], ReceiveScale: b[75],
		WindowScaling: flags&flagWindowScaling != 0,
		SACK:          flags&flagSACK != 0,
		Timestamps:    flags&flagTimestamps != 0, TimestampMicro: flags&flagTimestampMicro != 0,
		Timestamp: u(76),
	}
	if binary.BigEndian.Uint16(b[94:]) != 0 {
		return nil, fmt.Errorf("%w: reserved bytes are not zero", ErrFormat)
	}
	if err := e.parseTail(b, u(80), u(84), u(88)); err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return e, nil
}

// parseTail takes the options and the queues, whose lengths must add up to b.
func (e *Endpoint) parseTail(b []byte, sent, unsent, received uint32) error {
	options := uint64(binary.BigEndian.Uint16(b[92:]))
	queued := uint64(sent) + uint64(unsent) + uint64(received)
	if options > maxOptions || queued > MaxQueues {
		return fmt.Errorf("%w: %d bytes of options, %d of queues", ErrTooLarge, options, queued)
	}
	if want := encodingFixed + options + queued; uint64(len(b)) != want {
		return fmt.Errorf("%w: %d bytes, the lengths say %d", ErrFormat, len(b), want)
	}
	b = b[encodingFixed:]
	if err := e.Options.parse(b[:options]); err != nil {
		return err
	}
	b = b[options:]
	take := func(n uint32) []byte {
		if n == 0 {
			return nil
		}
		q := b[:n:n]
		b = b[n:]
		return q
	}
	e.Sent, e.Unsent, e.Received = take(sent), take(unsent), take(received)
	return nil
}

func addrPortAt(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(b)), binary.BigEndian.Uint16(b[16:]))
}
