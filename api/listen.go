package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/framework"
)

// serveListen makes a session of the connection.
func (s *Server) serveListen(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	svc, ok := s.backend.Service(name)
	if !ok {
		fail(w, http.StatusNotFound, fmt.Sprintf("no service %q is configured", name))
		return
	}
	if r.Header.Get("Upgrade") != wire.Protocol || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
		w.Header().Set("Upgrade", wire.Protocol)
		fail(w, http.StatusUpgradeRequired, "this resource needs Upgrade: "+wire.Protocol)
		return
	}
	req, err := readListenRequest(r.Body)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	ss, err := svc.Listen(framework.ListenOptions(req))
	if err != nil {
		status := http.StatusServiceUnavailable
		if errors.Is(err, framework.ErrUnknownPolicy) {
			status = http.StatusBadRequest
		}
		fail(w, status, err.Error())
		return
	}
	if err := s.upgrade(w, svc, ss); err != nil {
		s.log.Warn("session did not begin", "service", name, "err", err)
		ss.Abandon()
	}
}

// readListenRequest reads the body; an empty one leaves all as it is.
func readListenRequest(body io.Reader) (wire.ListenRequest, error) {
	var req wire.ListenRequest
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil && err != io.EOF {
		return req, fmt.Errorf("body: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return req, errors.New("body: more than one JSON value")
	}
	return req, nil
}

// upgrade takes the connection from HTTP and starts the session.
func (s *Server) upgrade(w http.ResponseWriter, svc *framework.Service, ss *framework.ServerSocket) error {
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	conn := c.(*limitedConn)
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		conn.Close()
		return http.ErrServerClosed
	}
	s.sessions.Add(1)
	s.mu.Unlock()
	fail := func(err error) error {
		s.sessions.Done()
		conn.Close()
		return err
	}
	// A descriptor that came with these bytes is lost already.
	if n := rw.Reader.Buffered(); n > 0 {
		return fail(fmt.Errorf("the application sent %d bytes before the answer", n))
	}
	if err := conn.SetDeadline(time.Time{}); err != nil {
		return fail(err)
	}
	conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n%s: %s\r\n\r\n",
		wire.Protocol, wire.HeaderContact, svc.Contact()); err != nil {
		return fail(err)
	}
	go func() {
		defer s.sessions.Done()
		defer conn.Close()
		newSession(s.ctx, conn.UnixConn, ss, s.log.With("service", svc.Name())).run()
	}()
	return nil
}
