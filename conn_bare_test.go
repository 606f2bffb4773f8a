package vanycast_test

import (
	"errors"
	"io"
	"net"
	"testing"

	"github.com/vanycast/vanycast"
)

// A bare connection is the client's, is not handed off, and is closed in order.
func TestBare(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	ln := r.replicas[glass].listen()
	r.replicas[reich].listen()
	client := r.replicas[glass].dial()
	c := accept(t, ln)
	bare, ok := c.NetConn().(*net.TCPConn)
	if !ok {
		t.Fatalf("NetConn gives a %T", c.NetConn())
	}
	send(t, client, "there")
	expect(t, bare, "there")
	if err := c.Handoff(t.Context(), reich); !errors.Is(err, vanycast.ErrBare) {
		t.Errorf("Handoff: %v", err)
	}
	send(t, bare, "and back")
	expect(t, client, "and back")
	send(t, client, "not read")
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if rest, err := io.ReadAll(client); err != nil || len(rest) > 0 {
		t.Errorf("client reads %q, %v; want its end", rest, err)
	}
	if got := c.NetConn(); got != nil {
		t.Errorf("NetConn after Close: %v", got)
	}
}

func TestBareAfterHandoff(t *testing.T) {
	r := newRig(t, nil, glass, reich)
	ln := r.replicas[glass].listen()
	r.replicas[reich].listen()
	r.replicas[glass].dial()
	c := accept(t, ln)
	if err := c.Handoff(t.Context(), reich); err != nil {
		t.Fatal(err)
	}
	if got := c.NetConn(); got != nil {
		t.Errorf("NetConn after a handoff: %v", got)
	}
}
