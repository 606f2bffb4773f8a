package tcpcp

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

var optInfo = sockopt{unix.IPPROTO_TCP, unix.TCP_INFO, "TCP_INFO"}

// tcpi_options (linux/tcp.h).
const (
	infoTimestamps  = 1
	infoSACK        = 2
	infoWindowScale = 4
	infoMicro       = 64 // Linux 6.7
)

// info is the part of struct tcp_info that a move needs. It is comparable: two
// that are equal say that nothing happened in between.
type info struct {
	state         State
	options       uint8
	scales        uint8  // both window scales, see windowScales
	bytesAcked    uint64 // acknowledged by the peer
	bytesReceived uint64 // received in order
	segsOut       uint32
	segsIn        uint32
	notSent       uint32 // bytes queued and never sent, counting an own FIN
	segmentSize   uint32 // bytes, of those sent now
	window        uint32 // congestion window, segments
}

// sizeofInfo is up to and with tcpi_notsent_bytes (Linux 4.6).
const sizeofInfo = 148

func getInfo(fd int) (info, error) {
	var b [sizeofInfo]byte
	n, err := optInfo.getBytes(fd, b[:])
	if err != nil {
		return info{}, err
	}
	if n < sizeofInfo {
		return info{}, &callError{"getsockopt TCP_INFO", unix.ENOSYS}
	}
	return info{
		state:         State(b[0]),
		options:       b[5],
		scales:        b[6],
		bytesAcked:    binary.NativeEndian.Uint64(b[120:]),
		bytesReceived: binary.NativeEndian.Uint64(b[128:]),
		segsOut:       binary.NativeEndian.Uint32(b[136:]),
		segsIn:        binary.NativeEndian.Uint32(b[140:]),
		notSent:       binary.NativeEndian.Uint32(b[144:]),
		segmentSize:   binary.NativeEndian.Uint32(b[16:]),
		window:        binary.NativeEndian.Uint32(b[80:]),
	}, nil
}

// windowScales takes the two bit fields apart: C puts the first one, the send
// scale, into the low bits on little-endian machines, into the high on others.
func (i info) windowScales() (send, receive uint8) {
	lo, hi := i.scales&0xf, i.scales>>4
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return lo, hi
	}
	return hi, lo
}
