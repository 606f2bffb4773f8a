package framework

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// watcher notices connections that are over: reset, or finished in both
// directions. It asks epoll for nothing but EPOLLERR and EPOLLHUP, so a
// connection's data never wakes it.
type watcher struct {
	file *os.File // the epoll instance, itself in Go's poller
	raw  syscall.RawConn
	fd   int
}

func newWatcher() (*watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // makes os.NewFile poll it
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl epoll", err)
	}
	file := os.NewFile(uintptr(fd), "epoll")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("framework: poll epoll: %w", err)
	}
	return &watcher{file, raw, fd}, nil
}

// add watches a connection until remove, or until it is over. It belongs to
// events, as remove does.
func (w *watcher) add(fd int, k key) error {
	ev := unix.EpollEvent{Events: unix.EPOLLONESHOT, Fd: int32(uint32(k)), Pad: int32(uint32(k >> 32))}
	if err := unix.EpollCtl(w.fd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return os.NewSyscallError("epoll_ctl add", err)
	}
	return nil
}

// remove ends it. Closing the descriptor would not: the application's keeps the
// socket, and with it the watch, alive.
func (w *watcher) remove(fd int) { unix.EpollCtl(w.fd, unix.EPOLL_CTL_DEL, fd, nil) }

// run calls over for each connection that is over, until close.
func (w *watcher) run(over func(key)) {
	events := make([]unix.EpollEvent, 64)
	for {
		var n int
		var err error
		if w.raw.Read(func(fd uintptr) bool {
			for {
				n, err = unix.EpollWait(int(fd), events, 0)
				if err != unix.EINTR {
					return n != 0 || err != nil
				}
			}
		}) != nil || err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		for _, e := range events[:max(n, 0)] {
			over(key(uint32(e.Fd)) | key(uint32(e.Pad))<<32)
		}
	}
}

func (w *watcher) close() { w.file.Close() }
