package tcpcp

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// Options are the socket options that move along: what a server may have set
// and what changes how the connection behaves. Not among them: IPV6_V6ONLY (the
// socket is bound to one IPv6 address), SO_REUSEADDR (always set afterwards),
// TCP_QUICKACK (the kernel changes it by itself), and what means something on
// one host only (SO_MARK, SO_BINDTODEVICE, SO_PRIORITY).
type Options struct {
	NoDelay bool // TCP_NODELAY
	Cork    bool // TCP_CORK

	KeepAlive         bool  // SO_KEEPALIVE
	KeepAliveIdle     int32 // TCP_KEEPIDLE, seconds; 0: the host's default
	KeepAliveInterval int32 // TCP_KEEPINTVL, seconds; 0: the host's default
	KeepAliveCount    int32 // TCP_KEEPCNT, probes; 0: the host's default

	UserTimeout int32 // TCP_USER_TIMEOUT, milliseconds; 0: none

	Congestion string // TCP_CONGESTION; empty: the host's default

	// Bytes as SO_SNDBUF and SO_RCVBUF read (twice what was set). Locked: an
	// application set it, and the kernel does not tune it.
	SendBuffer, ReceiveBuffer             uint32
	SendBufferLocked, ReceiveBufferLocked bool

	TrafficClass uint8  // IPV6_TCLASS
	NotSentLowat uint32 // TCP_NOTSENT_LOWAT, bytes; 0: the host's default
	OOBInline    bool   // SO_OOBINLINE

	Linger        bool  // SO_LINGER
	LingerSeconds int32 // its time, seconds

	// What the donor's congestion control allowed, where something was on its way: so
	// many segments (0: not known), so many bytes each. See firstWindow.
	CongestionWindow, SegmentSize uint32
}

var (
	optNoDelay      = sockopt{unix.IPPROTO_TCP, unix.TCP_NODELAY, "TCP_NODELAY"}
	optCork         = sockopt{unix.IPPROTO_TCP, unix.TCP_CORK, "TCP_CORK"}
	optKeepAlive    = sockopt{unix.SOL_SOCKET, unix.SO_KEEPALIVE, "SO_KEEPALIVE"}
	optKeepIdle     = sockopt{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, "TCP_KEEPIDLE"}
	optKeepInterval = sockopt{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, "TCP_KEEPINTVL"}
	optKeepCount    = sockopt{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, "TCP_KEEPCNT"}
	optUserTimeout  = sockopt{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT"}
	optCongestion   = sockopt{unix.IPPROTO_TCP, unix.TCP_CONGESTION, "TCP_CONGESTION"}
	optULP          = sockopt{unix.IPPROTO_TCP, unix.TCP_ULP, "TCP_ULP"}
	optBufferLock   = sockopt{unix.SOL_SOCKET, unix.SO_BUF_LOCK, "SO_BUF_LOCK"}
	optTrafficClass = sockopt{unix.IPPROTO_IPV6, unix.IPV6_TCLASS, "IPV6_TCLASS"}
	optNotSentLowat = sockopt{unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT"}
	optOOBInline    = sockopt{unix.SOL_SOCKET, unix.SO_OOBINLINE, "SO_OOBINLINE"}
	optLinger       = sockopt{unix.SOL_SOCKET, unix.SO_LINGER, "SO_LINGER"}
	optReuseAddr    = sockopt{unix.SOL_SOCKET, unix.SO_REUSEADDR, "SO_REUSEADDR"}
	optFreeBind     = sockopt{unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, "IPV6_FREEBIND"}
)

// Linux's own keepalive defaults. The kernel does not tell whether they were
// set; one that reads like this is left to the acceptor's host.
const (
	defaultKeepIdle     = 7200
	defaultKeepInterval = 75
	defaultKeepCount    = 9
)

// SO_BUF_LOCK's bits (Linux 5.14).
const (
	lockSendBuffer    = 1
	lockReceiveBuffer = 2
)

// maxCongestionName is TCP_CA_NAME_MAX less its NUL.
const maxCongestionName = 15

// readOptions fills in all options but the buffers' sizes.
func (f *Frozen) readOptions(o *Options) error {
	var first error
	get := func(opt sockopt) int {
		v, err := opt.get(f.fd)
		if err != nil && first == nil {
			first = err
		}
		return v
	}
	o.NoDelay = get(optNoDelay) != 0
	o.Cork = get(optCork) != 0
	o.KeepAlive = f.keepAlive
	o.KeepAliveIdle = unlessDefault(get(optKeepIdle), defaultKeepIdle)
	o.KeepAliveInterval = unlessDefault(get(optKeepInterval), defaultKeepInterval)
	o.KeepAliveCount = unlessDefault(get(optKeepCount), defaultKeepCount)
	o.UserTimeout = int32(f.userTimeout)
	o.TrafficClass = uint8(get(optTrafficClass))
	o.NotSentLowat = uint32(get(optNotSentLowat))
	// Extract may have set it, but only where it was not.
	o.OOBInline = get(optOOBInline) != 0 && !f.inlined
	if first != nil {
		return first
	}
	if lock, err := optBufferLock.get(f.fd); err == nil {
		o.SendBufferLocked = lock&lockSendBuffer != 0
		o.ReceiveBufferLocked = lock&lockReceiveBuffer != 0
	} else if !isErrno(err, unix.ENOPROTOOPT) {
		return err
	}
	var err error
	if o.Congestion, err = getCongestion(f.fd); err != nil {
		return err
	}
	o.Linger, o.LingerSeconds, err = getLinger(f.fd)
	return err
}

func unlessDefault(v, byDefault int) int32 {
	if v == byDefault {
		return 0
	}
	return int32(v)
}

func getCongestion(fd int) (string, error) {
	var b [maxCongestionName + 1]byte
	n, err := optCongestion.getBytes(fd, b[:])
	if err != nil {
		return "", err
	}
	return cString(b[:n]), nil
}

// cString is b up to its NUL, without allocating for what nearly every host runs.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			b = b[:i]
			break
		}
	}
	switch string(b) {
	case "cubic":
		return "cubic"
	case "bbr":
		return "bbr"
	case "reno":
		return "reno"
	}
	return string(b)
}

// refuseULP: an upper-layer protocol (kernel TLS) keeps state that TCP_REPAIR
// does not see.
func refuseULP(fd int) error {
	var b [16]byte
	n, err := optULP.getBytes(fd, b[:])
	switch {
	case isErrno(err, unix.ENOPROTOOPT): // no ULP in this kernel
		return nil
	case err != nil:
		return err
	case n > 0 && b[0] != 0:
		return fmt.Errorf("%w: upper-layer protocol %q", ErrUnsupported, cString(b[:n]))
	}
	return nil
}

// validate bounds what comes from the network.
func (o *Options) validate() error {
	if len(o.Congestion) > maxCongestionName {
		return fmt.Errorf("%w: congestion control name of %d bytes", ErrFormat, len(o.Congestion))
	}
	for _, c := range []byte(o.Congestion) {
		if c <= ' ' || c >= 0x7f {
			return fmt.Errorf("%w: congestion control name %q", ErrFormat, o.Congestion)
		}
	}
	for _, v := range []int32{o.KeepAliveIdle, o.KeepAliveInterval, o.KeepAliveCount, o.UserTimeout, o.LingerSeconds} {
		if v < 0 {
			return fmt.Errorf("%w: negative option", ErrFormat)
		}
	}
	if o.SegmentSize > math.MaxUint16 {
		return fmt.Errorf("%w: segments of %d bytes", ErrFormat, o.SegmentSize)
	}
	if o.SendBuffer > maxBuffer || o.ReceiveBuffer > maxBuffer {
		return fmt.Errorf("%w: socket buffers of %d and %d bytes", ErrFormat, o.SendBuffer, o.ReceiveBuffer)
	}
	return nil
}
