package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os/user"
	"strconv"
	"sync"
	"time"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/framework"
)

// Config describes the API's socket.
type Config struct {
	Socket string // path; default wire.DefaultSocket
	// Group may use the socket; a name or a number, empty for none.
	Group  string
	Logger *slog.Logger // default: discard
}

// Backend is what the API shows and offers. Its methods are called from many
// goroutines at once and must not block for long.
type Backend interface {
	Status() wire.Status
	Replicas() []wire.Replica
	Clients() []wire.Client
	Bindings() []wire.Binding
	Handoffs() []wire.Handoff
	// HandoffClient hands all connections of a client off to a replica. It waits
	// for the outcome, or until ctx ends.
	HandoffClient(ctx context.Context, client, to netip.Addr) []wire.ClientHandoff
	// Service gives the service of a name.
	Service(name string) (*framework.Service, bool)
}

// Bounds of one connection and of all.
const (
	maxConns      = 512 // connections at one time; more wait in the backlog
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 10 * time.Second
	idleTimeout   = 2 * time.Minute
)

// Server is the API of a daemon.
type Server struct {
	backend Backend
	log     *slog.Logger
	gid     int // -1 for none
	socket  *socket
	http    *http.Server
	events  *hub

	ctx  context.Context // of the sessions
	stop context.CancelFunc

	mu       sync.Mutex
	sessions sync.WaitGroup
	closed   bool
}

// New opens the socket; a stale one of a dead daemon is replaced, a living one is
// an error. Requests are answered once Serve runs.
func New(cfg Config, backend Backend) (*Server, error) {
	if cfg.Socket == "" {
		cfg.Socket = wire.DefaultSocket
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	gid, err := lookupGroup(cfg.Group)
	if err != nil {
		return nil, err
	}
	s := &Server{backend: backend, log: cfg.Logger.With("part", "api"), gid: gid, events: newHub()}
	if s.socket, err = listenUnix(cfg.Socket, gid); err != nil {
		return nil, err
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    8 << 10,
		ConnContext:       withConn,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Serve answers requests until Close; it returns nil then.
func (s *Server) Serve() error {
	err := s.http.Serve(&limited{Listener: s.socket, slots: make(chan struct{}, maxConns)})
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("api: %w", err)
}

// Close ends requests and sessions and removes the socket. The sessions' clients
// are closed in order, which the services do.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop()
	s.events.close()
	err := s.http.Close()
	s.socket.Close() // if Serve was never called
	s.sessions.Wait()
	return err
}

// Publish tells all who follow /v1/events. It never blocks: who does not read
// fast enough is dropped.
func (s *Server) Publish(e wire.Event) { s.events.publish(e) }

// lookupGroup gives the number of a group, -1 for an empty name.
func lookupGroup(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		var gerr error
		if g, gerr = user.LookupGroupId(name); gerr != nil {
			return -1, fmt.Errorf("api: group %q: %w", name, err)
		}
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return -1, fmt.Errorf("api: group %q: %w", name, err)
	}
	return gid, nil
}

// limited accepts no more connections than there are slots.
type limited struct {
	net.Listener
	slots chan struct{}
}

func (l *limited) Accept() (net.Conn, error) {
	l.slots <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.slots
		return nil, err
	}
	return &limitedConn{UnixConn: c.(*net.UnixConn), free: sync.OnceFunc(func() { <-l.slots })}, nil
}

type limitedConn struct {
	*net.UnixConn
	free func()
}

func (c *limitedConn) Close() error {
	defer c.free()
	return c.UnixConn.Close()
}
