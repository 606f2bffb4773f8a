package tcbpf

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// naive is kept as one list: the slow and obvious way.
type naive struct {
	limits  KeepLimits
	streams []stream      // declared
	waiting []stream      // undecided
	packets []naivePacket // of all, oldest first
	dropped uint64
}

type naivePacket struct {
	stream stream
	data   []byte
}

func (n *naive) totals(of func(naivePacket) bool) (packets, bytes int) {
	for _, p := range n.packets {
		if of(p) {
			packets++
			bytes += len(p.data)
		}
	}
	return packets, bytes
}

func (n *naive) drop(of func(naivePacket) bool) {
	i := slices.IndexFunc(n.packets, of)
	n.packets = slices.Delete(n.packets, i, i+1)
	n.dropped++
}

func (n *naive) add(s stream, data []byte) {
	n.packets = append(n.packets, naivePacket{s, data})
	every := func(naivePacket) bool { return true }
	own := func(p naivePacket) bool { return p.stream == s }
	for packets, bytes := n.totals(own); packets > n.limits.FlowPackets || bytes > n.limits.FlowBytes; packets, bytes = n.totals(own) {
		n.drop(own)
	}
	for packets, bytes := n.totals(every); packets > n.limits.Packets || bytes > n.limits.Bytes; packets, bytes = n.totals(every) {
		n.drop(every)
	}
}

func (n *naive) end(s stream) {
	for own := func(p naivePacket) bool { return p.stream == s }; slices.ContainsFunc(n.packets, own); {
		n.drop(own)
	}
	other := func(g stream) bool { return g == s }
	n.streams, n.waiting = slices.DeleteFunc(n.streams, other), slices.DeleteFunc(n.waiting, other)
}

// Whatever is done to it, kept holds the packets that the obvious way holds, in
// the same order, and no more than its limits.
func TestKeptAgainstNaive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limits := KeepLimits{
			FlowPackets: rapid.IntRange(1, 5).Draw(t, "flow packets"), FlowBytes: rapid.IntRange(1, 40).Draw(t, "flow bytes"),
			Packets: rapid.IntRange(1, 9).Draw(t, "packets"), Bytes: rapid.IntRange(1, 60).Draw(t, "bytes"),
			Undecided: rapid.IntRange(0, 3).Draw(t, "undecided"),
		}
		k, n := newKept(limits), &naive{limits: limits}
		flows := make([]dataplane.Flow, 3)
		var streams []stream
		for i := range flows {
			flows[i] = dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn), HomePort: 80, ClientPort: uint16(i + 1)}
			streams = append(streams, coming(flows[i]), sent(flows[i]))
		}
		serial := uint32(0)
		t.Repeat(map[string]func(*rapid.T){
			"hold": func(t *rapid.T) {
				s := rapid.SampledFrom(streams).Draw(t, "stream")
				k.hold(s)
				n.waiting = slices.DeleteFunc(n.waiting, func(g stream) bool { return g == s })
				if !slices.Contains(n.streams, s) {
					n.streams = append(n.streams, s)
				}
			},
			"wait": func(t *rapid.T) {
				f := rapid.SampledFrom(flows).Draw(t, "flow")
				if k.find(coming(f)) != nil {
					return
				}
				if ok := k.wait(f); ok != (len(n.waiting) < limits.Undecided) {
					t.Fatalf("%d undecided: wait is %v", len(n.waiting), ok)
				} else if ok {
					n.waiting = append(n.waiting, coming(f))
				}
			},
			"add": func(t *rapid.T) {
				s := rapid.SampledFrom(streams).Draw(t, "stream")
				q := k.find(s)
				if q == nil {
					return
				}
				serial++
				data := binary.BigEndian.AppendUint32(make([]byte, 0, 4), serial)
				data = append(data, make([]byte, rapid.IntRange(0, 20).Draw(t, "length"))...)
				k.add(q, data)
				n.add(s, data)
			},
			"end": func(t *rapid.T) {
				s := rapid.SampledFrom(streams).Draw(t, "stream")
				if q := k.find(s); q != nil {
					k.end(q)
				}
				n.end(s)
			},
			"pop": func(t *rapid.T) {
				s := rapid.SampledFrom(streams).Draw(t, "stream")
				q := k.find(s)
				if q == nil {
					return
				}
				got := k.pop(q)
				i := slices.IndexFunc(n.packets, func(p naivePacket) bool { return p.stream == s })
				if i < 0 {
					if got != nil {
						t.Fatalf("%x came out of an empty queue", got)
					}
					return
				}
				if !slices.Equal(got, n.packets[i].data) {
					t.Fatalf("%x came out, want %x", got, n.packets[i].data)
				}
				n.packets = slices.Delete(n.packets, i, i+1)
			},
			"expire": func(*rapid.T) {
				k.expire(0)
				for len(n.waiting) > 0 {
					n.end(n.waiting[0])
				}
			},
			"": func(t *rapid.T) {
				packets, bytes := n.totals(func(naivePacket) bool { return true })
				if k.packets != packets || k.bytes != bytes || k.dropped != n.dropped || k.undecided != len(n.waiting) ||
					len(k.queues) != len(n.streams)+len(n.waiting) {
					t.Fatalf("%d packets, %d bytes, %d dropped, %d undecided, %d queues; want %d, %d, %d, %d, %d", k.packets, k.bytes,
						k.dropped, k.undecided, len(k.queues), packets, bytes, n.dropped, len(n.waiting), len(n.streams)+len(n.waiting))
				}
				i := 0
				for p := k.oldest; p != nil; p = p.next {
					if !slices.Equal(p.data, n.packets[i].data) || p.queue.stream != n.packets[i].stream {
						t.Fatalf("packet %d is %x of %v, want %x of %v", i, p.data, p.queue.stream, n.packets[i].data, n.packets[i].stream)
					}
					i++
				}
			},
		})
	})
}

// A packet belongs to its connection's queue if there is one, else to its
// client's; the SYN of an undecided flow becomes its own when that is declared.
func TestKeptFind(t *testing.T) {
	client := dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn)}
	one, two := client, client
	one.HomePort, one.ClientPort = 80, 1
	two.HomePort, two.ClientPort = 80, 2
	k := newKept(KeepLimits{FlowPackets: 9, FlowBytes: 99, Packets: 9, Bytes: 99, Undecided: 1})
	k.hold(coming(client))
	if !k.wait(one) || k.wait(two) {
		t.Fatal("of two undecided flows one has room")
	}
	if k.find(coming(one)).stream != coming(one) || k.find(coming(two)).stream != coming(client) || k.find(sent(one)) != nil {
		t.Error("the wrong queue was found")
	}
	k.add(k.find(coming(one)), []byte("syn"))
	k.hold(coming(one))
	k.expire(0)
	if q := k.find(coming(one)); q.stream != coming(one) || q.undecided || string(k.pop(q)) != "syn" {
		t.Error("the SYN did not stay with its flow")
	}
	k.hold(sent(client))
	if k.find(sent(one)).stream != sent(client) || k.find(coming(one)).stream != coming(one) {
		t.Error("what is sent was taken for what comes")
	}
	k.endAll(client.Home)
	if len(k.queues) != 0 {
		t.Errorf("%d queues are left", len(k.queues))
	}
}

// A packet is found as what comes for its destination, or as what its source sent,
// and never as the other.
func TestKeptFindPacket(t *testing.T) {
	flow := dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn)}
	back := dataplane.Flow{Home: hexAddr(cn), Client: hexAddr(h1)}
	connection := flow
	connection.HomePort, connection.ClientPort = 9, 0x1122
	came, went := packet(t, base("0008", "11", cn, h1)+udp8)[14:], packet(t, base("0008", "11", h1, cn)+"0009112200081234")[14:]
	for name, c := range map[string]struct {
		held       []stream
		came, went stream // where they belong; zero: nowhere
	}{
		"nothing":         {held: nil},
		"coming":          {held: []stream{coming(flow)}, came: coming(flow)},
		"sent":            {held: []stream{sent(flow)}, went: sent(flow)},
		"both":            {held: []stream{coming(flow), sent(flow)}, came: coming(flow), went: sent(flow)},
		"connections":     {held: []stream{coming(flow), sent(connection), sent(flow)}, came: coming(flow), went: sent(connection)},
		"the other round": {held: []stream{coming(back), sent(back)}, came: sent(back), went: coming(back)},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKept(KeepLimits{FlowPackets: 9, FlowBytes: 99, Packets: 9, Bytes: 99})
			for _, s := range c.held {
				k.hold(s)
			}
			for _, p := range []struct {
				packet []byte
				want   stream
			}{{came, c.came}, {went, c.went}} {
				q, ok := k.findPacket(p.packet)
				if q == nil {
					q = &queue{}
				}
				if !ok || q.stream != p.want {
					t.Errorf("found %v, %v, want %v", q.stream, ok, p.want)
				}
			}
		})
	}
	if _, ok := newKept(KeepLimits{}).findPacket(came[:39]); ok {
		t.Error("found a queue of half a header")
	}
}
