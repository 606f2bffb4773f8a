package api

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// socket is the listening UNIX socket.
type socket struct {
	*net.UnixListener
	path string
	file os.FileInfo // the socket as this process made it
	once sync.Once
}

// socketMode: the owner and the group.
const socketMode = 0o660

// listenUnix opens the socket. It is made under another name and renamed when its
// mode and group are right, so nobody meets it before, and a stale socket is
// replaced without a moment in which there is none.
func listenUnix(path string, gid int) (*socket, error) {
	fail := func(err error) (*socket, error) { return nil, fmt.Errorf("api: socket %s: %w", path, err) }
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fail(err)
	}
	switch old, err := os.Lstat(path); {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return fail(err)
	case old.Mode().Type() != os.ModeSocket:
		return fail(fmt.Errorf("exists and is not a socket but %v", old.Mode().Type()))
	default:
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
			return fail(errors.New("another daemon answers there"))
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return fail(err)
		}
	}
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	os.Remove(temporary) // of a dead process with our number
	l, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: temporary})
	if err != nil {
		return fail(err)
	}
	l.SetUnlinkOnClose(false)
	undo := func(err error) (*socket, error) {
		l.Close()
		os.Remove(temporary)
		return fail(err)
	}
	if err := os.Chmod(temporary, socketMode); err != nil {
		return undo(err)
	}
	if gid >= 0 {
		if err := os.Chown(temporary, -1, gid); err != nil {
			return undo(err)
		}
	}
	file, err := os.Lstat(temporary)
	if err != nil {
		return undo(err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return undo(err)
	}
	return &socket{UnixListener: l, path: path, file: file}, nil
}

// Close ends the listening and removes the socket, unless another daemon put its
// own in its place.
func (s *socket) Close() error {
	err := net.ErrClosed
	s.once.Do(func() {
		if now, lerr := os.Lstat(s.path); lerr == nil && os.SameFile(now, s.file) {
			os.Remove(s.path)
		}
		err = s.UnixListener.Close()
	})
	return err
}
