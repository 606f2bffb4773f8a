package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/framework"
)

// handoffTimeout bounds the handing off of a client with all its connections:
// longer than a handoff whose outcome has to be found out.
const handoffTimeout = 25 * time.Second

// serveHandoff hands a client off, with all its connections.
func (s *Server) serveHandoff(w http.ResponseWriter, r *http.Request) {
	var req wire.HandoffRequest
	if !readBody(w, r, &req) {
		return
	}
	if !req.Client.Is6() || !req.To.Is6() {
		fail(w, http.StatusBadRequest, "client and to are IPv6 addresses")
		return
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(handoffTimeout + writeTimeout))
	ctx, cancel := context.WithTimeoutCause(r.Context(), handoffTimeout, fmt.Errorf("not handed off within %v", handoffTimeout))
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	all := s.backend.HandoffClient(ctx, req.Client, req.To)
	if len(all) == 0 {
		fail(w, http.StatusNotFound, fmt.Sprintf("no connection of %v is served here", req.Client))
		return
	}
	reply(w, http.StatusOK, all)
}

// ClientHandoff shows what became of one connection.
func ClientHandoff(m framework.Moved) wire.ClientHandoff {
	h := wire.ClientHandoff{ID: m.ID, Service: m.Service, Local: m.Local, Remote: m.Remote}
	if m.Err != nil {
		h.Failure = failure(m.Err)
	}
	return h
}
