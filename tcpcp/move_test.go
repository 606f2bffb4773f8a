package tcpcp

import "testing"

func TestMoveEmpty(t *testing.T) {
	c := newLab(t).connect(t)
	c.talk(t)
	f, e := c.move(t, c.b)
	t.Logf("%+v", e)
	if e.Queued() != 0 {
		t.Errorf("queues hold %d bytes", e.Queued())
	}
	c.talk(t)
	if err := f.Forget(); err != nil {
		t.Fatal(err)
	}
	c.move(t, c.a) // and back
	c.talk(t)
}
