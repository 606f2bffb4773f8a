package tcpcp

import "encoding/binary"

// struct linger: two ints.
const sizeofLinger = 8

func getLinger(fd int) (on bool, seconds int32, err error) {
	var b [sizeofLinger]byte
	if _, err := optLinger.getBytes(fd, b[:]); err != nil {
		return false, 0, err
	}
	return binary.NativeEndian.Uint32(b[:]) != 0, int32(binary.NativeEndian.Uint32(b[4:])), nil
}

func setLinger(fd int, seconds int32) error {
	var b [sizeofLinger]byte
	binary.NativeEndian.PutUint32(b[:], 1)
	binary.NativeEndian.PutUint32(b[4:], uint32(seconds))
	return optLinger.setBytes(fd, b[:])
}
