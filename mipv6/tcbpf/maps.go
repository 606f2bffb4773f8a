package tcbpf

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// The Go half of bpf/maps.h: keys and values of the maps, byte for byte. The
// library refuses a size that differs from the map's.

type address [16]byte

type mapContact struct {
	CareOf, HomeAgent, Gateway address
	Gone, Connections, Room    uint32
	Steer                      [16]uint16 // network byte order
}

type mapFlow struct {
	Home, Client         address
	HomePort, ClientPort uint16 // network byte order
}

type mapRoute struct {
	Peer, From, Gateway address
	Slot                uint32
	Kind, Via           uint8
	Keep                toKeeper
	OwnNextHop          uint8
	Redirect            uint8
	Pad                 [3]uint8
}

type mapPair struct{ Local, Home address }

type mapBinding struct {
	LastUsed uint64
	CareOf   address
}

type mapTunnel struct {
	LastUsed          uint64
	CareOf, HomeAgent address
	Flows, Protect    uint32
}

type mapFlowTunnel struct {
	CareOf, Gateway address
	Redirect        uint32
}

// route is the route that the entry says.
func (m *mapRoute) route() dataplane.Route {
	return dataplane.Route{
		Kind: dataplane.RouteKind(m.Kind),
		Via:  dataplane.RouteKind(m.Via),
		Peer: m.Peer.addr(),
		From: m.From.addr(),
		// What is drained (see keepEnds) is not the route's.
		Keep:  m.Keep&keepReturned != 0 || m.Keep&keepAll != 0 && dataplane.RouteKind(m.Kind) == dataplane.Held,
		Pause: m.Keep == keepSent,
	}
}

// addr is the address, or none.
func (a address) addr() netip.Addr {
	if a == (address{}) {
		return netip.Addr{}
	}
	return netip.AddrFrom16(a)
}

func mapAddress(a netip.Addr) address {
	if !a.IsValid() {
		return address{}
	}
	return a.As16()
}

func flowKey(f dataplane.Flow) mapFlow {
	return mapFlow{mapAddress(f.Home), mapAddress(f.Client), networkOrder(f.HomePort), networkOrder(f.ClientPort)}
}

// networkOrder is the number whose bytes in memory are those of n on the wire; the
// objects are made for little-endian hosts.
func networkOrder(n uint16) uint16 { return bits.ReverseBytes16(n) }

func bindingKey(local, home netip.Addr) mapPair {
	return mapPair{Local: mapAddress(local), Home: mapAddress(home)}
}

// Since Linux 6.1 a map takes the memory for an entry from a small pool, which is
// filled again a moment after it ran dry: "no memory" is final only if it lasts.
const (
	putTries = 20
	putPause = 5 * time.Millisecond
)

// put writes a map entry; a map without room is dataplane.ErrFull. Pointers to key and
// value spare that they are copied field by field.
func put(m *ebpf.Map, key, value any) error {
	err := m.Put(key, value)
	for try := 1; errors.Is(err, unix.ENOMEM) && try < putTries; try++ {
		time.Sleep(putPause)
		err = m.Put(key, value)
	}
	if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("%w: %d entries of %v", dataplane.ErrFull, m.MaxEntries(), m)
	}
	return err
}

// remove deletes a map entry; one that is not there is no error.
func remove(m *ebpf.Map, key any) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}
