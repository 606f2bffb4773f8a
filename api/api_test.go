package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/framework"
	"github.com/vanycast/vanycast/handoff"
	"github.com/vanycast/vanycast/tcpcp"
)

// backend shows fixed things.
type backend struct{ svc *framework.Service }

var (
	when   = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	status = wire.Status{Version: "1", Name: "glass", Roles: []string{"replica"}, Started: when, CareOf: netip.MustParseAddr("2001:db8:1::10")}
)

func (b *backend) Status() wire.Status { return status }
func (b *backend) Replicas() []wire.Replica {
	return []wire.Replica{{Service: "echo", Address: status.CareOf, Self: true}}
}
func (b *backend) Clients() []wire.Client { return nil }
func (b *backend) Bindings() []wire.Binding {
	return []wire.Binding{{Role: "replica", Home: status.CareOf, Sequence: 7}}
}
func (b *backend) Handoffs() []wire.Handoff {
	return []wire.Handoff{Handoff(handoff.Record{ID: 1, Role: handoff.RoleDonor, Mode: handoff.ModePrepared, Gap: 1500 * time.Microsecond, Phases: []handoff.Phase{{Action: handoff.ActionFreeze, Took: time.Millisecond}}})}
}
func (b *backend) HandoffClient(ctx context.Context, client, to netip.Addr) (out []wire.ClientHandoff) {
	for _, m := range b.svc.HandoffClient(ctx, client, to) {
		out = append(out, ClientHandoff(m))
	}
	return out
}
func (b *backend) Service(name string) (*framework.Service, bool) { return b.svc, name == "echo" }

// nowhere is an Agent and an Address that can do nothing.
type nowhere struct{}

func (nowhere) Handoff(context.Context, *handoff.Client, netip.Addr) error {
	return errors.New("unreachable")
}
func (nowhere) Prepare(context.Context, *handoff.Client, netip.Addr) error {
	return errors.New("unreachable")
}
func (nowhere) IsContactNode() bool                     { return true }
func (nowhere) Probe(context.Context, netip.Addr) error { return nil }
func (nowhere) Bind(context.Context, netip.Addr) error  { return nil }
func (nowhere) Clear(context.Context, netip.Addr) error { return nil }

// start runs an API with one service.
func start(t *testing.T) (*Server, string) {
	t.Helper()
	svc, err := framework.New(framework.Config{
		Service: "echo", Contact: netip.MustParseAddrPort("[::1]:0"), Self: status.CareOf, Linger: time.Second,
	}, framework.Deps{Agent: nowhere{}, Address: nowhere{}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "run", "api.sock")
	s, err := New(Config{Socket: path}, &backend{svc})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		if err := svc.Run(ctx); err != nil {
			t.Errorf("service: %v", err)
		}
	})
	wg.Go(func() {
		if err := s.Serve(); err != nil {
			t.Errorf("api: %v", err)
		}
	})
	t.Cleanup(func() {
		s.Close()
		cancel()
		wg.Wait()
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("socket after Close: %v", err)
		}
	})
	return s, path
}

func client(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}
}

func TestShow(t *testing.T) {
	_, path := start(t)
	for _, tt := range []struct{ path, want string }{
		{wire.PathStatus, `{"version":"1","name":"glass","roles":["replica"],"care_of":"2001:db8:1::10","started":"2026-01-02T03:04:05Z"}`},
		{wire.PathReplicas, `[{"service":"echo","address":"2001:db8:1::10","self":true,"accepted":0,"failed":0,"steered":0}]`},
		{wire.PathClients, `[]`},
		{wire.PathBindings, `[{"role":"replica","home":"2001:db8:1::10","care_of":"","sequence":7}]`},
		{wire.PathHandoffs, `[{"id":1,"service":"","client":"","contact":"","from":"","to":"","role":"donor","mode":"prepared","started":"0001-01-01T00:00:00Z","gap_ms":1.5,"bytes":0,"phases_ms":{"freeze":1}}]`},
	} {
		t.Run(tt.path, func(t *testing.T) {
			resp, err := client(path).Get("http://x" + tt.path)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s, %v, %v", resp.Status, resp.Header, err)
			}
			if got := strings.TrimSpace(string(b)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestRefused: whatever is wrong is said in JSON, with a 4xx.
func TestRefused(t *testing.T) {
	_, path := start(t)
	listen := wire.ListenPath("echo")
	for _, tt := range []struct {
		name, method, path string
		header             http.Header
		body               string
		status             int
		want               string
	}{
		{"unknown resource", "GET", "/v2", nil, "", 404, "no such resource: /v2"},
		{"GET of a session", "GET", listen, nil, "", 405, "only POST"},
		{"POST of a list", "POST", wire.PathClients, nil, "", 405, "only GET"},
		{"DELETE", "DELETE", wire.PathStatus, nil, "", 405, "only GET"},
		{"unknown service", "POST", wire.ListenPath("ecco"), upgradeHeader, "", 404, `no service "ecco" is configured`},
		{"no upgrade", "POST", listen, nil, "", 426, "this resource needs Upgrade: vanycast/1"},
		{"other upgrade", "POST", listen, http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}, "", 426, "this resource needs Upgrade: vanycast/1"},
		{"not JSON", "POST", listen, upgradeHeader, "policy=random", 400, "body: invalid character 'p' looking for beginning of value"},
		{"unknown field", "POST", listen, upgradeHeader, `{"polcy":"random"}`, 400, `body: json: unknown field "polcy"`},
		{"two values", "POST", listen, upgradeHeader, `{} {}`, 400, "body: more than one JSON value"},
		{"unknown policy", "POST", listen, upgradeHeader, `{"policy":"best"}`, 400, `framework: no such distribution policy: "best"`},
		{"GET of a handoff", "GET", wire.PathHandoff, nil, "", 405, "only POST"},
		{"handoff of nobody", "POST", wire.PathHandoff, nil, `{"client":"2001:db8::1","to":"2001:db8:2::10"}`, 404, "no connection of 2001:db8::1 is served here"},
		{"handoff to nowhere", "POST", wire.PathHandoff, nil, `{"client":"2001:db8::1"}`, 400, "client and to are IPv6 addresses"},
		{"handoff of IPv4", "POST", wire.PathHandoff, nil, `{"client":"192.0.2.1","to":"2001:db8:2::10"}`, 400, "client and to are IPv6 addresses"},
		{"long body", "POST", listen, upgradeHeader, `{"policy":"` + strings.Repeat("x", wire.MaxBody) + `"}`, 400, "body: http: request body too large"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequest(tt.method, "http://x"+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range tt.header {
				r.Header[k] = v
			}
			resp, err := client(path).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var e wire.Error
			if err := json.NewDecoder(resp.Body).Decode(&e); err != nil || resp.StatusCode != tt.status || e.Error != tt.want {
				t.Errorf("%d %q, %v; want %d %q", resp.StatusCode, e.Error, err, tt.status, tt.want)
			}
		})
	}
}

var upgradeHeader = http.Header{"Connection": {"Upgrade"}, "Upgrade": {wire.Protocol}}

// TestEarlyBytes: an application that speaks before the answer could lose a
// descriptor; it gets no session.
func TestEarlyBytes(t *testing.T) {
	_, path := start(t)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: vanycast/1\r\nContent-Length: 0\r\n\r\nXXXX", wire.ListenPath("echo"))
	if b, err := io.ReadAll(c); len(b) > 0 {
		t.Errorf("answer %q, %v; want none", b, err)
	}
}

// TestEvents: each follower gets each event as a line, and one that does not read
// is dropped without harm to others.
func TestEvents(t *testing.T) {
	s, path := start(t)
	follow := func() *bufio.Reader {
		resp, err := client(path).Get("http://x" + wire.PathEvents)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return bufio.NewReader(resp.Body)
	}
	a, b := follow(), follow()
	s.Publish(Event(framework.Event{Time: when, Kind: framework.EventAccepted, Service: "echo", ID: 7, Err: errors.New("why")}))
	for _, r := range []*bufio.Reader{a, b} {
		if line, err := r.ReadString('\n'); err != nil || line != `{"time":"2026-01-02T03:04:05Z","kind":"accepted","service":"echo","id":7,"text":"why"}`+"\n" {
			t.Errorf("got %q, %v", line, err)
		}
	}

	slow := s.events.follow()
	for range followerQueue {
		s.Publish(wire.Event{Kind: "x"})
		for _, r := range []*bufio.Reader{a, b} {
			if _, err := r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.Publish(wire.Event{Kind: "y"})
	n := 0
	for range slow {
		n++
	}
	if n != followerQueue {
		t.Errorf("the slow one got %d events before it was dropped, want %d", n, followerQueue)
	}
	for _, r := range []*bufio.Reader{a, b} {
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, `"y"`) {
			t.Errorf("got %q, %v", line, err)
		}
	}
	s.events.leave(slow) // a second time
	s.Close()
	if line, err := b.ReadString('\n'); err == nil {
		t.Errorf("after Close: %q", line)
	}
}

func TestPermit(t *testing.T) {
	groups := func(uid uint32) ([]string, error) {
		if uid == 404 {
			return nil, errors.New("no such user")
		}
		return map[uint32][]string{1001: {"1001", "77"}, 1002: {"1002"}}[uid], nil
	}
	for _, tt := range []struct {
		name string
		cred unix.Ucred
		gid  int
		ok   bool
	}{
		{"root", unix.Ucred{Uid: 0, Gid: 5}, -1, true},
		{"the daemon's own user", unix.Ucred{Uid: 33, Gid: 5}, -1, true},
		{"primary group", unix.Ucred{Uid: 1002, Gid: 77}, 77, true},
		{"supplementary group", unix.Ucred{Uid: 1001, Gid: 1001}, 77, true},
		{"not in the group", unix.Ucred{Uid: 1002, Gid: 1002}, 77, false},
		{"no group configured", unix.Ucred{Uid: 1001, Gid: 1001}, -1, false},
		{"unknown user", unix.Ucred{Uid: 404, Gid: 404}, 77, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := permit(&tt.cred, 33, tt.gid, groups); (err == nil) != tt.ok {
				t.Errorf("permit: %v, want ok %t", err, tt.ok)
			}
		})
	}
}

// TestPeerRefused: a process of another user is told so in JSON, even where the
// socket's mode would let it in.
func TestPeerRefused(t *testing.T) {
	_, path := start(t)
	for p := path; p != "/" && p != os.TempDir(); p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	const nobody = 65534
	cmd := helper(t, "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(out), "HTTP/1.1 403 ") || !strings.Contains(string(out), `{"error":"user 65534 may not use this socket"}`) {
		t.Errorf("answer %q", out)
	}
}

func TestSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "api.sock")
	old, err := listenUnix(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != socketMode {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	if _, err := listenUnix(path, -1); err == nil || !strings.Contains(err.Error(), "another daemon answers there") {
		t.Errorf("beside a living one: %v", err)
	}
	// A daemon dies and leaves its socket.
	old.UnixListener.Close()
	next, err := listenUnix(path, -1)
	if err != nil {
		t.Fatalf("after a dead one: %v", err)
	}
	old.Close() // the dead one's does not remove the living one's
	if _, err := net.Dial("unix", path); err != nil {
		t.Error(err)
	}
	next.Close()
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		t.Errorf("left behind: %v, %v", names, err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(path, -1); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("in place of a file: %v", err)
	}
	if _, err := New(Config{Socket: path, Group: "no such group"}, nil); err == nil || !strings.Contains(err.Error(), `group "no such group"`) {
		t.Errorf("unknown group: %v", err)
	}
}

// TestFailure: every failure has its code, and fits a frame.
func TestFailure(t *testing.T) {
	target := netip.MustParseAddr("2001:db8:2::10")
	wrap := func(err error) error { return &framework.HandoffError{Target: target, Err: err} }
	for _, tt := range []struct {
		err  error
		code wire.Code
	}{
		{errors.New("x"), wire.CodeFailed},
		{wrap(errors.New("connection refused")), wire.CodeUnreachable},
		{wrap(&handoff.RefusedError{Reason: handoff.ReasonQueueFull}), wire.CodeRefused},
		{wrap(&handoff.RefusedError{Reason: handoff.ReasonNoMobileIPv6}), wire.CodeNoMobileIPv6},
		{wrap(&tcpcp.Error{Op: "freeze", Kind: tcpcp.ErrState}), wire.CodeFailed},
		{wrap(framework.ErrNoTarget), wire.CodeNoTarget},
		{wrap(framework.ErrShared), wire.CodeShared},
		{wrap(framework.ErrFinished), wire.CodeFinished},
		{wrap(handoff.ErrGone), wire.CodeGone},
		{wrap(context.Canceled), wire.CodeCanceled},
		{framework.ErrUnknownClient, wire.CodeUnknownClient},
		{framework.ErrClosed, wire.CodeClosed},
		{wrap(errors.New(strings.Repeat("é", wire.MaxMessage))), wire.CodeUnreachable},
	} {
		f := failure(tt.err)
		b, err := json.Marshal(wire.Message{Kind: wire.KindResult, Failure: f})
		if f.Code != tt.code || f.Text == "" || err != nil || len(b) > wire.MaxMessage {
			t.Errorf("%.50v: code %s, %d bytes, %v; want %s", tt.err, f.Code, len(b), err, tt.code)
		}
	}
}

func TestConvert(t *testing.T) {
	addr, client, contact := status.CareOf, netip.MustParseAddrPort("[2001:db8:a::1]:1"), netip.MustParseAddrPort("[2001:db8:9::1]:4000")
	got := []any{
		Client(framework.ClientInfo{ID: 1, Service: "echo", Local: contact, Remote: client, State: "held", HandedOff: true, From: addr, Target: addr, Mobile: "yes", Since: when}),
		Replica(framework.ReplicaInfo{Address: addr, Service: "echo", Excluded: when, Err: errors.New("lost"), Accepted: 1, Failed: 2}),
	}
	want := []any{
		wire.Client{ID: 1, Service: "echo", Local: contact, Remote: client, State: "held", HandedOff: true, From: addr, Target: addr, MobileIPv6: "yes", Since: when},
		wire.Replica{Service: "echo", Address: addr, Excluded: when, Error: "lost", Accepted: 1, Failed: 2},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
