package tcbpf

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
)

// stamps say when flows were last used, and whether the peer that they are relayed
// to was heard. The programs write them and this process reads them in the same
// memory; a flow's route knows its place.
type stamps struct {
	memory *ebpf.Memory
	free   []uint32 // given back
	next   uint32   // never taken yet
	size   uint32
}

// struct stamp of bpf/maps.h.
const (
	stampLength  = 16
	stampHeardAt = 8
)

func newStamps(m *ebpf.Map) (*stamps, error) {
	memory, err := m.Memory()
	if err != nil {
		return nil, fmt.Errorf("mapping the stamps: %w", err)
	}
	return &stamps{memory: memory, size: m.MaxEntries()}, nil
}

// take gives a place whose stamp says never.
func (s *stamps) take() (slot uint32, ok bool) {
	if n := len(s.free); n > 0 {
		slot, s.free = s.free[n-1], s.free[:n-1]
	} else if s.next < s.size {
		slot = s.next
		s.next++
	} else {
		return 0, false
	}
	var never [stampLength]byte
	if _, err := s.memory.WriteAt(never[:], int64(slot)*stampLength); err != nil {
		return 0, false
	}
	return slot, true
}

// give takes a place back.
func (s *stamps) give(slot uint32) { s.free = append(s.free, slot) }

// read is when the flow was used: CLOCK_MONOTONIC in ns, 0 for never.
func (s *stamps) read(slot uint32) (uint64, error) { return s.at(slot, 0) }

// heard tells whether the peer was.
func (s *stamps) heard(slot uint32) (bool, error) {
	n, err := s.at(slot, stampHeardAt)
	return n != 0, err
}

// listen begins anew to find out whether the peer is heard.
func (s *stamps) listen(slot uint32) error {
	var not [8]byte
	_, err := s.memory.WriteAt(not[:], int64(slot)*stampLength+stampHeardAt)
	return err
}

func (s *stamps) at(slot uint32, offset int64) (uint64, error) {
	var b [8]byte
	if _, err := s.memory.ReadAt(b[:], int64(slot)*stampLength+offset); err != nil {
		return 0, err
	}
	return binary.NativeEndian.Uint64(b[:]), nil
}
