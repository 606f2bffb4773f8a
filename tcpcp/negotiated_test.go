package tcpcp

import (
	"bytes"
	"testing"
)

// What client and server did not agree on is not used after a move, and what
// they did agree on is. The transfers before and after are long enough to need
// windows beyond 64 KB, where they are allowed.
func TestMoveNegotiated(t *testing.T) {
	for _, test := range []struct {
		name, off             string
		scaling, sack, stamps bool
	}{
		{"all", "", true, true, true},
		{"no window scaling", "net.ipv4.tcp_window_scaling", false, true, true},
		{"no SACK", "net.ipv4.tcp_sack", true, false, true},
		{"no timestamps", "net.ipv4.tcp_timestamps", true, true, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			if test.off != "" {
				l.client.Sysctl(test.off, "0")
			}
			c := l.connect(t)
			watchHost(t, c.a)
			watchHost(t, c.b)
			for i := range 3 {
				c.bulk(t, 2<<20)
				_, e := c.move(t, c.turn(i))
				if e.WindowScaling != test.scaling || e.SACK != test.sack || e.Timestamps != test.stamps {
					t.Errorf("window scaling %v, SACK %v, timestamps %v", e.WindowScaling, e.SACK, e.Timestamps)
				}
				if e.MSS != 1440 {
					t.Errorf("MSS %d, want the client's 1440", e.MSS)
				}
				after, err := getInfo(c.fd)
				if err != nil {
					t.Fatal(err)
				}
				var got Endpoint
				got.negotiated(after)
				if got.WindowScaling != test.scaling || got.SACK != test.sack || got.Timestamps != test.stamps ||
					got.SendScale != e.SendScale || got.ReceiveScale != e.ReceiveScale {
					t.Errorf("the acceptor's kernel has %+v of %+v", got, e)
				}
				c.forgetFrozen(t)
			}
			c.bulk(t, 2<<20)
		})
	}
}

// bulk sends n bytes each way, at once.
func (c *connection) bulk(t testing.TB, n int) {
	t.Helper()
	data := randomBytes(n)
	s := c.server(t)
	defer s.Close()
	sent := make(chan error, 2)
	go func() { _, err := s.Write(data); sent <- err }()
	go func() { _, err := c.client.Write(data); sent <- err }()
	got := make(chan []byte)
	go func() {
		b := make([]byte, n)
		for at := 0; at < n; {
			k, err := s.Read(b[at:])
			if err != nil {
				break
			}
			at += k
		}
		got <- b
	}()
	if !bytes.Equal(readFull(t, "at the client", c.client, n), data) {
		t.Error("the client got other bytes")
	}
	if !bytes.Equal(<-got, data) {
		t.Error("the server got other bytes")
	}
	for range 2 {
		if err := <-sent; err != nil {
			t.Error(err)
		}
	}
}
