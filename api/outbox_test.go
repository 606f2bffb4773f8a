package api

import (
	"testing"
	"testing/synctest"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/framework"
	"github.com/vanycast/vanycast/handoff"
)

// What is put is sent in order, also what is there at the close; after that a
// client's descriptor is closed.
func TestOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOutbox()
		var sent []uint64
		done := make(chan struct{})
		go func() { defer close(done); b.run(func(l letter) { sent = append(sent, l.client) }) }()
		b.put(letter{client: 1})
		b.put(letter{client: 2})
		synctest.Wait()
		b.put(letter{client: 3})
		b.close()
		<-done
		if len(sent) != 3 || sent[0] != 1 || sent[1] != 2 || sent[2] != 3 {
			t.Errorf("sent %v", sent)
		}
		fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		b.put(letter{taken: &framework.Taken{Client: handoff.Client{FD: fd}}})
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
			t.Errorf("descriptor after the close: %v", err)
		}
	})
}
