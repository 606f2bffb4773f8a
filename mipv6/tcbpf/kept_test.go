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
	flows   []dataplane.Flow // declared
	waiting []dataplane.Flow // undecided
	packets []naivePacket    // of all, oldest first
	dropped uint64
}

type naivePacket struct {
	flow dataplane.Flow
	data []byte
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

func (n *naive) add(f dataplane.Flow, data []byte) {
	n.packets = append(n.packets, naivePacket{f, data})
	every := func(naivePacket) bool { return true }
	own := func(p naivePacket) bool { return p.flow == f }
	for packets, bytes := n.totals(own); packets > n.limits.FlowPackets || bytes > n.limits.FlowBytes; packets, bytes = n.totals(own) {
		n.drop(own)
	}
	for packets, bytes := n.totals(every); packets > n.limits.Packets || bytes > n.limits.Bytes; packets, bytes = n.totals(every) {
		n.drop(every)
	}
}

func (n *naive) end(f dataplane.Flow) {
	for own := func(p naivePacket) bool { return p.flow == f }; slices.ContainsFunc(n.packets, own); {
		n.drop(own)
	}
	other := func(g dataplane.Flow) bool { return g == f }
	n.flows, n.waiting = slices.DeleteFunc(n.flows, other), slices.DeleteFunc(n.waiting, other)
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
		flows := make([]dataplane.Flow, 4)
		for i := range flows {
			flows[i] = dataplane.Flow{Home: hexAddr(h1), Client: hexAddr(cn), HomePort: 80, ClientPort: uint16(i + 1)}
		}
		serial := uint32(0)
		t.Repeat(map[string]func(*rapid.T){
			"hold": func(t *rapid.T) {
				f := rapid.SampledFrom(flows).Draw(t, "flow")
				k.hold(f)
				n.waiting = slices.DeleteFunc(n.waiting, func(g dataplane.Flow) bool { return g == f })
				if !slices.Contains(n.flows, f) {
					n.flows = append(n.flows, f)
				}
			},
			"wait": func(t *rapid.T) {
				f := rapid.SampledFrom(flows).Draw(t, "flow")
				if k.find(f) != nil {
					return
				}
				if ok := k.wait(f); ok != (len(n.waiting) < limits.Undecided) {
					t.Fatalf("%d undecided: wait is %v", len(n.waiting), ok)
				} else if ok {
					n.waiting = append(n.waiting, f)
				}
			},
			"add": func(t *rapid.T) {
				f := rapid.SampledFrom(flows).Draw(t, "flow")
				q := k.find(f)
				if q == nil {
					return
				}
				serial++
				data := binary.BigEndian.AppendUint32(make([]byte, 0, 4), serial)
				data = append(data, make([]byte, rapid.IntRange(0, 20).Draw(t, "length"))...)
				k.add(q, data)
				n.add(f, data)
			},
			"end": func(t *rapid.T) {
				f := rapid.SampledFrom(flows).Draw(t, "flow")
				if q := k.find(f); q != nil {
					k.end(q)
				}
				n.end(f)
			},
			"pop": func(t *rapid.T) {
				f := rapid.SampledFrom(flows).Draw(t, "flow")
				q := k.find(f)
				if q == nil {
					return
				}
				got := k.pop(q)
				i := slices.IndexFunc(n.packets, func(p naivePacket) bool { return p.flow == f })
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
					len(k.queues) != len(n.flows)+len(n.waiting) {
					t.Fatalf("%d packets, %d bytes, %d dropped, %d undecided, %d queues; want %d, %d, %d, %d, %d", k.packets, k.bytes,
						k.dropped, k.undecided, len(k.queues), packets, bytes, n.dropped, len(n.waiting), len(n.flows)+len(n.waiting))
				}
				i := 0
				for p := k.oldest; p != nil; p = p.next {
					if !slices.Equal(p.data, n.packets[i].data) || p.queue.flow != n.packets[i].flow {
						t.Fatalf("packet %d is %x of %v, want %x of %v", i, p.data, p.queue.flow, n.packets[i].data, n.packets[i].flow)
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
	k.hold(client)
	if !k.wait(one) || k.wait(two) {
		t.Fatal("of two undecided flows one has room")
	}
	if k.find(one).flow != one || k.find(two).flow != client {
		t.Error("the wrong queue was found")
	}
	k.add(k.find(one), []byte("syn"))
	k.hold(one)
	k.expire(0)
	if q := k.find(one); q.flow != one || q.undecided || string(k.pop(q)) != "syn" {
		t.Error("the SYN did not stay with its flow")
	}
	k.endAll(client.Home)
	if len(k.queues) != 0 {
		t.Errorf("%d queues are left", len(k.queues))
	}
}
