package tcpcp

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/tcpcp/internal/loopback"
)

// What does not fit makes the buffer grow until it does; afterwards the donor's
// size is set, and what is in the queue stays there.
func TestBufferGrows(t *testing.T) {
	client, server, err := loopback.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(client)
	defer unix.Close(server)
	const donors = 20000
	b := sendBuffer(&Endpoint{Options: Options{SendBuffer: 2 * donors}})
	if err := b.forQueue(server, 0); err != nil {
		t.Fatal(err)
	}
	if b.current != donors {
		t.Errorf("an empty queue is given %d, want the donor's %d", b.current, donors)
	}
	data := randomBytes(4 << 20) // nobody reads
	if err := putAll(server, data, &b); err != nil {
		t.Fatal(err)
	}
	if b.current <= bufferMargin {
		t.Errorf("the buffer is %d after %d bytes", b.current, len(data))
	}
	if err := b.settle(server); err != nil {
		t.Fatal(err)
	}
	if mem, err := getMemory(server); err != nil || mem.sendBuffer != 2*donors {
		t.Errorf("the buffer reads %d, %v; want the donor's %d", mem.sendBuffer, err, 2*donors)
	}
	got, err := readFD(client, len(data))
	if err != nil || string(got) != string(data) {
		t.Errorf("read %d bytes, or others: %v", len(got), err)
	}
}

func TestBufferHasAnEnd(t *testing.T) {
	fd := socket(t, unix.AF_INET6, unix.SOCK_STREAM)
	b := sendBuffer(&Endpoint{})
	b.current = maxBuffer/4 + 1
	if err := b.grow(fd); !errors.Is(err, ErrNoRoom) {
		t.Errorf("beyond the end: %v, want ErrNoRoom", err)
	}
	// Where forcing and the host's limit give the same, there is no more either.
	b = buffer{forced: optReuseAddr, limited: optSendBuffer}
	if err := b.grow(fd); !errors.Is(err, ErrNoRoom) {
		t.Errorf("without effect: %v, want ErrNoRoom", err)
	}
}
