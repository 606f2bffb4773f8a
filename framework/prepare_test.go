package framework

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/handoff"
)

// An application may have a handoff prepared of a client that it has, to another
// replica; the client does not change by it.
func TestPrepare(t *testing.T) {
	s := startService(t, &fake{}, nil, nil)
	ss := listenService(t, s)
	dialService(t, s)
	c := acceptService(t, ss)
	defer c.Close()
	if err := ss.Prepare(t.Context(), c.Key, hosts["reich"]); err != nil {
		t.Error(err)
	}
	for name, tt := range map[string]struct {
		key    uint64
		target netip.Addr
		want   error
	}{
		"to nobody":      {c.Key, netip.Addr{}, ErrUnknownReplica},
		"to a stranger":  {c.Key, hosts["stranger"], ErrUnknownReplica},
		"to itself":      {c.Key, hosts["glass"], ErrUnknownReplica},
		"unknown client": {c.Key + 1, hosts["reich"], ErrUnknownClient},
	} {
		if err := ss.Prepare(t.Context(), tt.key, tt.target); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	other := listenService(t, s)
	if err := other.Prepare(t.Context(), c.Key, hosts["reich"]); !errors.Is(err, ErrUnknownClient) {
		t.Errorf("another application's client: %v", err)
	}
	if err := s.call(func() { s.preparing = maxPreparing }); err != nil {
		t.Fatal(err)
	}
	if err := ss.Prepare(t.Context(), c.Key, hosts["reich"]); !errors.Is(err, handoff.ErrBusy) {
		t.Errorf("one too many: %v", err)
	}
	if err := s.call(func() { s.preparing = 0 }); err != nil {
		t.Fatal(err)
	}
	if err := ss.CloseClient(c.Key, false, nil); err != nil {
		t.Fatal(err)
	}
	if err := ss.Prepare(t.Context(), c.Key, hosts["reich"]); !errors.Is(err, ErrUnknownClient) {
		t.Errorf("closed: %v", err)
	}
}

// A client without Mobile IPv6 can be prepared for where it can be handed off: where
// it is relayed.
func TestPrepareImmobile(t *testing.T) {
	s := startService(t, &fake{}, nil, nil)
	ss := listenService(t, s)
	dialService(t, s)
	c := acceptService(t, ss)
	defer c.Close()
	for relays, want := range map[bool]error{false: handoff.ErrNoMobileIPv6, true: nil} {
		if err := s.call(func() {
			s.core.clients[key(c.Key)].immobile = true
			s.core.relays = func() bool { return relays }
		}); err != nil {
			t.Fatal(err)
		}
		if err := ss.Prepare(t.Context(), c.Key, hosts["reich"]); !errors.Is(err, want) {
			t.Errorf("relayed %v: %v, want %v", relays, err, want)
		}
	}
}
