package tcbpf

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// The Go half of bpf/maps.h: keys and values of the maps, byte for byte. The
// library refuses a size that differs from the map's.

type address [16]byte

type mapContact struct {
	CareOf, HomeAgent, Gateway address
	Gone, Pad                  uint32
}

type mapFlow struct{ Home, Client address }

type mapRoute struct {
	LastUsed   uint64 // CLOCK_MONOTONIC in ns, 0 for never
	Kind       uint32
	OwnNextHop uint32
}

type mapPair struct{ Local, Home address }

type mapBinding struct {
	LastUsed uint64
	CareOf   address
}

type mapTunnel struct {
	LastUsed          uint64
	CareOf, HomeAgent address
	Protect, Pad      uint32
}

func mapAddress(a netip.Addr) address {
	if !a.IsValid() {
		return address{}
	}
	return a.As16()
}

func flowKey(f dataplane.Flow) mapFlow {
	return mapFlow{Home: mapAddress(f.Home), Client: mapAddress(f.Client)}
}

func bindingKey(local, home netip.Addr) mapPair {
	return mapPair{Local: mapAddress(local), Home: mapAddress(home)}
}

// put writes a map entry; a map without room is dataplane.ErrFull.
func put(m *ebpf.Map, key, value any) error {
	err := m.Put(key, value)
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
