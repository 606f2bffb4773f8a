package anycast

import (
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/mipv6/bindings"
)

// BindingInfo describes one binding for an operator.
type BindingInfo struct {
	Contact  netip.Addr
	Peer     netip.Addr // the home agent or the client
	CareOf   netip.Addr
	Home     bool   // the home registration
	State    string // "bound", "pending" or "idle"
	Route    string // of a client: "optimised", "held", or "none" for the tunnel
	Sequence uint16
	Expires  time.Time // zero unless bound
	Refresh  time.Time // zero unless bound and to be refreshed
}

// Bindings are the bindings of this contact address, by peer.
func (a *Address) Bindings() []BindingInfo {
	n := a.node
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []BindingInfo
	for _, u := range n.core.list.All() {
		if u.Home != a.home {
			continue
		}
		info := BindingInfo{
			Contact: a.home, Peer: u.Peer, CareOf: u.CareOf, Home: u.HomeRegistration,
			State: u.State.String(), Sequence: u.Sequence, Expires: u.Expires, Refresh: u.Refresh,
		}
		if cl := n.core.clients[pair{Home: a.home, Client: u.Peer}]; cl != nil {
			info.Route = cl.route.String()
		} else if u.State == bindings.Idle {
			continue // nothing but a number
		}
		out = append(out, info)
	}
	return out
}
