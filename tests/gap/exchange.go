package gap

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"

	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/stream"
)

// exchange sends a stream and receives one, and looks whether both came whole.
func exchange(ctx context.Context, h *lab.Host, to netip.AddrPort, size int) error {
	var conn *net.TCPConn
	err := h.Do(func() error {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", to.String())
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	sent := make(chan error, 1)
	go func() { sent <- upload(conn, size) }()
	h256 := sha256.New()
	if _, err := io.CopyN(h256, conn, int64(size)); err != nil {
		return errors.Join(err, conn.Close(), <-sent)
	}
	farewell, err := io.ReadAll(conn)
	if err := errors.Join(err, <-sent); err != nil {
		return err
	}
	up, down := stream.Sum(upSeed, int64(size)), stream.Sum(downSeed, int64(size))
	switch {
	case !bytes.Equal(h256.Sum(nil), down[:]):
		return errors.New("the client did not receive the servers' stream")
	case !bytes.HasPrefix(farewell, up[:]):
		return errors.New("the servers did not receive the client's stream")
	}
	return nil
}

func upload(conn *net.TCPConn, size int) error {
	source := stream.New(upSeed, 0)
	b := make([]byte, stream.Steady.Chunk)
	for left := size; left > 0; left -= len(b) {
		b = b[:min(len(b), left)]
		_, _ = source.Read(b) // cannot fail
		if _, err := conn.Write(b); err != nil {
			return err
		}
		stream.Steady.Wait(int64(size - left + len(b)))
	}
	return conn.CloseWrite()
}
