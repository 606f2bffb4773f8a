package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/vanycast/vanycast/api/wire"
)

// KeyKeeper is a Backend that shares IPsec keys with others.
type KeyKeeper interface {
	Keys() []wire.Key
	// RollKeys makes new keys at a home agent. What was made before an error is
	// given with it.
	RollKeys(wire.RollKeys) ([]wire.KeyDelivery, error)
	// LoadKeys takes new keys up, or passes them on to the replicas that they are for.
	LoadKeys(context.Context, []wire.KeyDelivery) []wire.KeyLoaded
	RevokeKeys(wire.RevokeKeys) ([]wire.RevokedKey, error)
}

// ErrNoKeys: the request is about keys that this host does not have.
var ErrNoKeys = errors.New("no such keys on this host")

// keeper gives the backend to f if it keeps keys and whoever asks may see them:
// root and the daemon's own user, not the group.
func (s *Server) keeper(f func(KeyKeeper, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		cred, err := peerCredentials(connOf(r).UnixConn)
		if err == nil && cred.Uid != 0 && int(cred.Uid) != os.Getuid() {
			err = fmt.Errorf("user %d may not see or change keys", cred.Uid)
		}
		if err != nil {
			s.log.Warn("request refused", "path", r.URL.Path, "err", err)
			fail(w, http.StatusForbidden, err.Error())
			return
		}
		k, ok := s.backend.(KeyKeeper)
		if !ok {
			fail(w, http.StatusNotFound, "this host keeps no keys")
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		f(k, w, r)
	}
}

func showKeys(k KeyKeeper, w http.ResponseWriter, _ *http.Request) {
	showList(k.Keys)(w, nil)
}

func rollKeys(k KeyKeeper, w http.ResponseWriter, r *http.Request) {
	var req wire.RollKeys
	if !readBody(w, r, &req) {
		return
	}
	deliveries, err := k.RollKeys(req)
	if err != nil && len(deliveries) == 0 {
		fail(w, keyStatus(err), err.Error())
		return
	}
	// Some were made: they must get to their replicas, whatever became of the rest.
	answer := wire.RolledKeys{Deliveries: deliveries}
	if err != nil {
		answer.Error = err.Error()
	}
	reply(w, http.StatusOK, answer)
}

func loadKeys(k KeyKeeper, w http.ResponseWriter, r *http.Request) {
	var req []wire.KeyDelivery
	if !readBody(w, r, &req) {
		return
	}
	reply(w, http.StatusOK, append([]wire.KeyLoaded{}, k.LoadKeys(r.Context(), req)...))
}

func revokeKeys(k KeyKeeper, w http.ResponseWriter, r *http.Request) {
	var req wire.RevokeKeys
	if !readBody(w, r, &req) {
		return
	}
	revoked, err := k.RevokeKeys(req)
	if err != nil {
		fail(w, keyStatus(err), err.Error())
		return
	}
	reply(w, http.StatusOK, revoked)
}

func keyStatus(err error) int {
	if errors.Is(err, ErrNoKeys) {
		return http.StatusNotFound
	}
	return http.StatusConflict
}

// readBody reads one JSON value. What it says of a mistake does not quote it.
func readBody(w http.ResponseWriter, r *http.Request, v any) bool {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, end := d.Token(); end != io.EOF {
			err = errors.New("more than one JSON value")
		}
	}
	if err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			err = fmt.Errorf("not JSON at byte %d", syntax.Offset)
		}
		fail(w, http.StatusBadRequest, "body: "+err.Error())
		return false
	}
	return true
}
