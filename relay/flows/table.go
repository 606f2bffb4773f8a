package flows

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/relay"
)

// flow is a connection that shall have a flow binding.
type flow struct {
	conn      relay.Conn
	id        uint16
	priority  uint16
	bound     bool // the home agent has it, with this priority
	taken     int  // identifiers that others had
	notBefore time.Time
}

// table are the flows of one contact address.
type table struct {
	careOf netip.Addr
	byConn map[relay.Conn]*flow
	byID   map[uint16]*flow
}

func newTable(careOf netip.Addr) *table {
	return &table{careOf: careOf, byConn: make(map[relay.Conn]*flow), byID: make(map[uint16]*flow)}
}

// number is where the search for a flow identifier begins: hosts that do not ask
// each other should not often meet.
func number(careOf netip.Addr, c relay.Conn, n int) uint16 {
	h := fnv.New32a()
	b := append(careOf.AsSlice(), byte(n))
	for _, e := range []netip.AddrPort{c.Contact, c.Client} {
		b = append(append(b, e.Addr().AsSlice()...), byte(e.Port()>>8), byte(e.Port()))
	}
	h.Write(b) // never fails
	return uint16(h.Sum32()>>16 ^ h.Sum32())
}

// bindingID is this host's Binding Identifier.
func bindingID(careOf netip.Addr) uint16 {
	h := fnv.New32a()
	h.Write(careOf.AsSlice()) // never fails
	return uint16(h.Sum32()%0xffff) + 1
}

// want notes a connection with its relay sequence number; false if that changes
// nothing.
func (t *table) want(c relay.Conn, sequence uint16) bool {
	priority := ^sequence
	f := t.byConn[c]
	switch {
	case f != nil && f.priority == priority:
		return false
	case f != nil:
		f.priority, f.bound, f.notBefore = priority, false, time.Time{}
		return true
	case len(t.byConn) >= maxFlows:
		return false
	}
	f = &flow{conn: c, priority: priority}
	t.byConn[c] = f
	t.rename(f)
	return true
}

// rename gives a flow an identifier that no other of ours has.
func (t *table) rename(f *flow) {
	if t.byID[f.id] == f {
		delete(t.byID, f.id)
	}
	id := number(t.careOf, f.conn, f.taken)
	for id == 0 || t.byID[id] != nil {
		id++
	}
	f.id = id
	t.byID[id] = f
}

func (t *table) unwant(c relay.Conn) bool {
	f := t.byConn[c]
	if f == nil {
		return false
	}
	delete(t.byConn, c)
	delete(t.byID, f.id)
	return true
}

// sorted are all flows in the order of their identifiers.
func (t *table) sorted() []*flow {
	all := make([]*flow, 0, len(t.byID))
	for _, f := range t.byID {
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b *flow) int { return int(a.id) - int(b.id) })
	return all
}

// content is what one Binding Update says.
type content struct {
	added map[uint16]uint16 // identifiers, with their priority numbers
	kept  []uint16
}

// say makes the options of a Binding Update.
func (t *table) say(now time.Time, id uint16) (options []mipv6.Option, c content) {
	c.added = make(map[uint16]uint16)
	all := t.sorted()
	for _, f := range all {
		if f.bound {
			c.kept = append(c.kept, f.id)
		}
	}
	room := maxOctets
	for part := range slices.Chunk(c.kept, mipv6.MaxFlowSummary) {
		options = append(options, &mipv6.FlowSummary{IDs: part})
		room -= summaryOctets + 2*len(part)
	}
	for _, f := range all {
		if f.bound || now.Before(f.notBefore) {
			continue
		}
		if room -= flowOctets; room < 0 {
			break
		}
		c.added[f.id] = f.priority
		options = append(options, &mipv6.FlowIdentification{
			ID: f.id, Priority: f.priority, Bindings: []uint16{id},
			Selector: &mipv6.TrafficSelector{
				Source:     mipv6.Only(f.conn.Client.Addr()),
				SourcePort: mipv6.Only(f.conn.Client.Port()), DestinationPort: mipv6.Only(f.conn.Contact.Port()),
			},
		})
	}
	return options, c
}
