package api

import (
	"encoding/json"
	"net/http"

	"github.com/vanycast/vanycast/api/wire"
)

// routes maps the resources to their handlers.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range []struct {
		method, path string
		serve        http.HandlerFunc
	}{
		{http.MethodGet, wire.PathStatus, show(s.backend.Status)},
		{http.MethodGet, wire.PathReplicas, showList(s.backend.Replicas)},
		{http.MethodGet, wire.PathClients, showList(s.backend.Clients)},
		{http.MethodGet, wire.PathBindings, showList(s.backend.Bindings)},
		{http.MethodGet, wire.PathHandoffs, showList(s.backend.Handoffs)},
		{http.MethodGet, wire.PathEvents, s.serveEvents},
		{http.MethodPost, wire.PathHandoff, s.serveHandoff},
		{http.MethodPost, wire.ListenPath("{name}"), s.serveListen},
		{http.MethodGet, wire.PathKeys, s.keeper(showKeys)},
		{http.MethodPost, wire.PathKeysRoll, s.keeper(rollKeys)},
		{http.MethodPost, wire.PathKeysLoad, s.keeper(loadKeys)},
		{http.MethodPost, wire.PathKeysRevoke, s.keeper(revokeKeys)},
	} {
		mux.HandleFunc(r.method+" "+r.path, r.serve)
		mux.HandleFunc(r.path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", r.method)
			fail(w, http.StatusMethodNotAllowed, "only "+r.method)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "no such resource: "+r.URL.Path)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.checkPeer(connOf(r).UnixConn); err != nil {
			s.log.Warn("request refused", "path", r.URL.Path, "err", err)
			fail(w, http.StatusForbidden, err.Error())
			return
		}
		most := int64(wire.MaxBody)
		if r.URL.Path == wire.PathKeysLoad {
			most = wire.MaxKeys
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		mux.ServeHTTP(w, r)
	})
}

// show answers with what get gives.
func show[T any](get func() T) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, get()) }
}

// showList makes no list an empty one, not null.
func showList[T any](get func() []T) http.HandlerFunc {
	return show(func() []T {
		if l := get(); l != nil {
			return l
		}
		return []T{}
	})
}

func reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		fail(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n')) // who hung up does not want it
}

func fail(w http.ResponseWriter, status int, text string) {
	reply(w, status, wire.Error{Error: text})
}
