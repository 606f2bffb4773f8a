package tcpcp

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// Where what comes is sent elsewhere: up to the diversion the connection takes
// what comes and sends nothing, and if that fails it goes on as it was.
func TestFreezeWith(t *testing.T) {
	t.Parallel()
	c := newLab(t).connect(t)
	w := watchHost(t, c.a)
	c.talk(t)
	broken := errors.New("broken")
	if _, err := FreezeWith(c.fd, func() error { return broken }); !errors.Is(err, broken) {
		t.Errorf("FreezeWith: %v, want %v", err, broken)
	}
	c.talk(t)

	message := "said at the last moment"
	var f *Frozen
	w.silent(t, "being frozen", func() {
		var err error
		f, err = FreezeWith(c.fd, func() error {
			if _, err := c.client.WriteString(message); err != nil {
				return err
			}
			until(t, "it is received", func() bool {
				n, err := ioctlInt(c.fd, unix.SIOCINQ, "SIOCINQ")
				return err == nil && n == len(message)
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	e, err := f.Extract()
	if err != nil {
		t.Fatal(err)
	}
	if string(e.Received) != message {
		t.Errorf("extracted %q, want %q", e.Received, message)
	}
	if err := f.Thaw(); err != nil {
		t.Fatal(err)
	}
	expect(t, "at the server", c.server(t), message)
	c.talk(t)
}

// What was kept for a connection is let in when it can be received, and before
// the connection has said anything.
func TestActivateAfter(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c := l.connect(t)
	c.talk(t)
	f, e := frozenEndpoint(t, c)
	defer f.Forget()
	i := insertAt(t, l.b, e)
	broken := errors.New("broken")
	_, err := i.ActivateAfter(func() error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("ActivateAfter: %v, want %v", err, broken)
	}
	if err := i.Abort(); err != nil {
		t.Fatal(err)
	}
	opened := false
	i = insertAt(t, l.b, e)
	l.route(l.b)
	w := watchHost(t, l.b)
	if c.fd, err = i.ActivateAfter(func() error {
		opened = true
		w.silent(t, "before what was kept", func() {})
		return nil
	}); err != nil || !opened {
		t.Fatalf("opened %v, %v", opened, err)
	}
	c.talk(t)
}
