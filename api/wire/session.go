package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Session sends and receives frames on a UNIX stream socket. Send is safe for
// concurrent use; Receive is for one goroutine.
type Session struct {
	conn *net.UnixConn

	mu  sync.Mutex // one frame at a time
	buf []byte
	err error // after a frame that was sent in part, nothing can follow
}

// NewSession begins a session on a connection whose HTTP part is over.
func NewSession(c *net.UnixConn) *Session { return &Session{conn: c} }

// Close ends the session; Receive and Send return errors.
func (s *Session) Close() error { return s.conn.Close() }

// Send sends a frame, with a descriptor unless fd is negative; the descriptor
// stays the caller's. If the other side does not read for SendTimeout, the
// session is closed.
func (s *Session) Send(m *Message, state []byte, fd int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	b, err := appendFrame(s.buf[:0], m, state)
	if err != nil {
		return err
	}
	if cap(b) <= 2*MaxMessage { // do not keep a large state's buffer
		s.buf = b
	}
	if err := s.send(b, fd); err != nil {
		s.err = fmt.Errorf("wire: send %s: %w", m.Kind, err)
		s.conn.Close()
	}
	return s.err
}

func (s *Session) send(b []byte, fd int) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(SendTimeout)); err != nil {
		return err
	}
	if fd >= 0 {
		n, _, err := s.conn.WriteMsgUnix(b, unix.UnixRights(fd), nil)
		if err != nil {
			return err
		}
		b = b[n:] // the kernel may take the rest later; the descriptor is sent
	}
	_, err := s.conn.Write(b)
	return err
}

// Receive waits for a frame. Its descriptor, if it has one, is the caller's. The
// error is io.EOF where the other side ended the session between two frames,
// and wraps ErrFrame where it sent nonsense.
func (s *Session) Receive() (*Frame, error) {
	var prefix [prefixLength]byte
	fd, err := s.readPrefix(&prefix)
	if err != nil {
		return nil, err
	}
	f, err := s.body(prefix, fd)
	if err != nil && fd >= 0 {
		unix.Close(fd)
	}
	return f, err
}

func (s *Session) body(prefix [prefixLength]byte, fd int) (*Frame, error) {
	m, n, err := parsePrefix(prefix[:])
	if err != nil {
		return nil, err
	}
	b := make([]byte, m+n)
	if _, err := io.ReadFull(s.conn, b); err != nil {
		return nil, noEOF(err)
	}
	msg, err := ParseMessage(b[:m], n)
	if err != nil {
		return nil, err
	}
	if fd >= 0 && !carries[msg.Kind].file {
		return nil, fmt.Errorf("%w: %s with a descriptor", ErrFrame, msg.Kind)
	}
	if fd < 0 && (msg.Kind == KindDelivered || msg.Kind == KindAdopt) {
		return nil, fmt.Errorf("%w: %s without a descriptor", ErrFrame, msg.Kind)
	}
	f := &Frame{Message: msg, FD: fd}
	if n > 0 {
		f.State = b[m:]
	}
	return f, nil
}

// readPrefix reads a frame's first bytes and the descriptor that came with
// them, else -1. Reading no more than the prefix keeps the kernel from
// giving the next frame's descriptor along.
func (s *Session) readPrefix(prefix *[prefixLength]byte) (int, error) {
	fd := -1
	oob := make([]byte, unix.CmsgSpace(4))
	for read := 0; read < prefixLength; {
		n, oobn, flags, _, err := s.conn.ReadMsgUnix(prefix[read:], oob)
		if oobn > 0 {
			got, rerr := rights(oob[:oobn])
			if rerr == nil && (len(got) > 1 || len(got) == 1 && fd >= 0) {
				rerr = fmt.Errorf("%w: more than one descriptor", ErrFrame)
			}
			if rerr == nil && len(got) == 1 {
				fd = got[0]
			} else {
				closeAll(got)
				err = errors.Join(err, rerr)
			}
		}
		if err == nil && flags&unix.MSG_CTRUNC != 0 {
			err = fmt.Errorf("%w: more than one descriptor", ErrFrame)
		}
		if err == nil && n == 0 { // ReadMsgUnix does not say io.EOF
			err = io.EOF
		}
		if err != nil {
			if fd >= 0 {
				unix.Close(fd)
			}
			if read > 0 || !errors.Is(err, io.EOF) {
				return -1, noEOF(err)
			}
			return -1, io.EOF
		}
		read += n
	}
	return fd, nil
}

// rights takes the descriptors out of ancillary data.
func rights(oob []byte) ([]int, error) {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("%w: ancillary data: %w", ErrFrame, err)
	}
	var fds []int
	for i := range msgs {
		got, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			closeAll(fds)
			return nil, fmt.Errorf("%w: ancillary data: %w", ErrFrame, err)
		}
		fds = append(fds, got...)
	}
	return fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// noEOF makes the end of the stream inside a frame an error of its own.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
