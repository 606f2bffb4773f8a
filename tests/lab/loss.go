package lab

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// Loss loses packets at random on their way through an interface of a router, whatever
// is in them, on kernels without netem, too. (What a host itself sends is not lost so:
// its kernel would know of it.) Which ones is said by a seed: the same of the first, second,
// and so on that pass in one direction, whenever they come.
type Loss struct{ *filter }

// lossState is what the programs have of each direction.
type lossState struct {
	Random       uint64 // the generator's
	Seen, Losses uint64
}

// A linear congruential generator modulo 2^64 (Knuth's MMIX), of which the upper
// bits are used.
const (
	lossFactor    = 6364136223846793005
	lossIncrement = 1442695040888963407
	lossBits      = 31
)

// Lose begins to lose this share of the packets, 0.05 for 5 %, in each direction. It
// ends with the test, or by Close.
func (h *Host) Lose(iface string, share float64, seed uint64) *Loss {
	h.net.tb.Helper()
	l, err := newLoss(h, iface, share, seed)
	if err != nil {
		h.net.tb.Fatalf("lab: losing %g %% on %s: %v", 100*share, iface, err)
	}
	h.net.tb.Cleanup(func() { _ = l.Close() })
	return l
}

func newLoss(h *Host, iface string, share float64, seed uint64) (*Loss, error) {
	if share < 0 || share >= 1 {
		return nil, fmt.Errorf("not a share: %g", share)
	}
	f, err := newFilter(h, iface, lossStates(seed), func(state *ebpf.Map, at ebpf.AttachType) asm.Instructions {
		return lose(state, lossKey(at), lossThreshold(share))
	})
	if err != nil {
		return nil, err
	}
	return &Loss{f}, nil
}

// lossStates is the map of both directions' states.
func lossStates(seed uint64) *ebpf.MapSpec {
	const directions = 2
	spec := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 24, MaxEntries: directions}
	for key := range uint32(directions) {
		spec.Contents = append(spec.Contents, ebpf.MapKV{Key: key, Value: lossState{Random: mixed(2*seed + uint64(key))}})
	}
	return spec
}

// lossThreshold is what the numbers of the packets that are lost are below.
func lossThreshold(share float64) int32 { return int32(share * (1 << lossBits)) }

// Lost is how many packets came to the interface by either direction so far, and how
// many of them were lost.
func (l *Loss) Lost() (losses, of uint64, err error) {
	for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
		var s lossState
		if err := l.state.Lookup(lossKey(at), &s); err != nil {
			return 0, 0, fmt.Errorf("lab: counters of a loss: %w", err)
		}
		losses, of = losses+s.Losses, of+s.Seen
	}
	return losses, of, nil
}

// lossKey is where the state of a direction is.
func lossKey(at ebpf.AttachType) uint32 {
	if at == ebpf.AttachTCXIngress {
		return 0
	}
	return 1
}

// mixed spreads a small seed over all bits (splitmix64).
func mixed(seed uint64) uint64 {
	seed += 0x9e3779b97f4a7c15
	seed = (seed ^ seed>>30) * 0xbf58476d1ce4e5b9
	seed = (seed ^ seed>>27) * 0x94d049bb133111eb
	return seed ^ seed>>31
}

// lose is the program for a direction: a packet is lost whose number is below the
// threshold. Two processors at once may take the same number.
func lose(state *ebpf.Map, key uint32, threshold int32) asm.Instructions {
	const random, seen, losses = 0, 8, 16 // offsets in lossState
	return asm.Instructions{
		asm.StoreImm(asm.RFP, -4, int64(key), asm.Word),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, state.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
		asm.Mov.Reg(asm.R6, asm.R0),
		asm.Mov.Imm(asm.R7, 1),
		asm.AddAtomic.Mem(asm.R6, asm.R7, asm.DWord, seen),
		asm.LoadMem(asm.R1, asm.R6, random, asm.DWord),
		asm.LoadImm(asm.R2, lossFactor, asm.DWord),
		asm.Mul.Reg(asm.R1, asm.R2),
		asm.LoadImm(asm.R2, lossIncrement, asm.DWord),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.StoreMem(asm.R6, random, asm.R1, asm.DWord),
		asm.RSh.Imm(asm.R1, 64-lossBits),
		asm.JGE.Imm(asm.R1, threshold, "pass"),
		asm.AddAtomic.Mem(asm.R6, asm.R7, asm.DWord, losses),
		asm.Mov.Imm(asm.R0, dropPacket),
		asm.Return(),
		asm.Mov.Imm(asm.R0, passPacket).WithSymbol("pass"),
		asm.Return(),
	}
}
