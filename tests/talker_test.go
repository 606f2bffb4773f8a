package tests

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

const (
	talkPause = 10 * time.Millisecond // between two lines
	talkHop   = 5                     // lines between two wishes to be handed off
)

// talker is a client of the echo service that goes on sending lines, some with a wish
// to be handed off in the middle, each after the echo of the one before.
type talker struct {
	host string
	conn *net.TCPConn
	port uint16       // its own
	calm *atomic.Bool // no handoffs now
	stop chan struct{}
	done chan struct{}

	mu       sync.Mutex
	served   string    // who greeted last
	greeted  time.Time // when that was
	answered time.Time // when the last line that was echoed had been sent
	lines    int
	err      error // after done: nil for an orderly end
}

func startTalker(ctx context.Context, t *testing.T, h *lab.Host, calm *atomic.Bool) *talker {
	t.Helper()
	conn, err := dial(ctx, h, cluster.Echo().Contact)
	must(t, err)
	k := &talker{
		host: h.Name(), conn: conn, port: conn.LocalAddr().(*net.TCPAddr).AddrPort().Port(),
		calm: calm, stop: make(chan struct{}), done: make(chan struct{}),
	}
	t.Cleanup(func() { _ = conn.Close(); <-k.done })
	go func() {
		defer close(k.done)
		err := k.talk()
		k.mu.Lock()
		k.err = err
		k.mu.Unlock()
	}()
	return k
}

// errScrambled: the server's answer is not what it should be. Nothing excuses that.
var errScrambled = errors.New("scrambled")

func (k *talker) talk() error {
	r := bufio.NewReader(k.conn)
	for i := 0; ; i++ {
		select {
		case <-k.stop:
			return k.quit(r)
		case <-time.After(talkPause):
		}
		text, hop := fmt.Sprintf("line %d of %d", i, k.port), ""
		if i%talkHop == talkHop-1 && !k.calm.Load() {
			hop = "H"
		}
		sent := time.Now()
		if err := k.conn.SetDeadline(sent.Add(2 * stall)); err != nil {
			return err
		}
		if _, err := io.WriteString(k.conn, text+hop+"\n"); err != nil {
			return err
		}
		if err := k.echo(r, text); err != nil {
			return err
		}
		k.mu.Lock()
		k.lines, k.answered = i+1, sent
		k.mu.Unlock()
	}
}

// echo reads until the echo of a line.
func (k *talker) echo(r *bufio.Reader, text string) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		var worker int
		var by string
		switch {
		case line == "", strings.HasPrefix(line, "Sorry, I could not hand you over"):
		case line == "echo >"+text:
			return nil
		default:
			if _, err := fmt.Sscanf(line, "Hi, I'm worker %d on %s", &worker, &by); err != nil {
				return fmt.Errorf("%w: %q, want the echo of %q", errScrambled, line, text)
			}
			k.mu.Lock()
			k.served, k.greeted = by, time.Now()
			k.mu.Unlock()
		}
	}
}

// greeting is who greeted last, and when.
func (k *talker) greeting() (by string, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.served, k.greeted
}

// quit ends the session in order.
func (k *talker) quit(r *bufio.Reader) error {
	if _, err := io.WriteString(k.conn, "Q"); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, r)
	return errors.Join(err, k.conn.Close())
}

// end lets it finish, and says how it went.
func (k *talker) end(ctx context.Context) error {
	close(k.stop)
	select {
	case <-k.done:
		return k.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *talker) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return fmt.Sprintf("client %s port %d, %d lines, last served by %s", k.host, k.port, k.lines, k.served)
}

func (k *talker) servedBy() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.served
}

// progressed: a line that was sent after a moment was echoed. The error says why not;
// over, that it never will be.
func (k *talker) progressed(since time.Time) (over bool, err error) {
	select {
	case <-k.done:
		over = true
	default:
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.answered.After(since):
		return over, nil
	case over:
		return true, fmt.Errorf("its connection ended: %w", k.err)
	}
	return false, errors.New("no line was echoed")
}

// remote is the client's end, as the replicas see it.
func (k *talker) remote() netip.AddrPort {
	site, _ := lab.SiteOf(k.host)
	return netip.AddrPortFrom(site.Addr, k.port)
}
