package lab

import (
	"context"
	"net/netip"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/cilium/ebpf"
)

// Of what passes a link about the wanted share is lost, both ways, and nothing once it
// is over.
func TestLoss(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	n := New(t)
	left, router, right := n.Host("left"), n.Host("router"), n.Host("right")
	router.Sysctl("net.ipv6.conf.all.forwarding", "1")
	n.Link(router, left, Names("left", "eth0"))
	n.Link(router, right, Names("right", "eth0"))
	for _, l := range []struct {
		h      *Host
		prefix string
	}{{left, "2001:db8:1::"}, {right, "2001:db8:2::"}} {
		l.h.Addr("eth0", netip.MustParsePrefix(l.prefix+"10/64"))
		router.Addr(l.h.Name(), netip.MustParsePrefix(l.prefix+"1/64"))
		l.h.Route(netip.MustParsePrefix("::/0"), netip.MustParseAddr(l.prefix+"1"))
	}
	answered := func(pings int) int {
		t.Helper()
		out, _ := left.Output(ctx, "ping", "-6", "-q", "-c", strconv.Itoa(pings), "-i", "0.002", "-W", "1", "2001:db8:2::10")
		m := regexp.MustCompile(`(\d+) received`).FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("ping: %s", out)
		}
		received, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		return received
	}
	const pings, share = 1000, 0.05
	loss := router.Lose("right", share, 1)
	// An answer has to pass twice: nine of ten come.
	if got := answered(pings); got < 0.85*pings || got > 0.95*pings {
		t.Errorf("%d of %d were answered", got, pings)
	}
	lost, of, err := loss.Lost()
	if err != nil {
		t.Fatal(err)
	}
	if of < pings || float64(lost) < 0.6*share*float64(of) || float64(lost) > 1.4*share*float64(of) {
		t.Errorf("%d lost of %d, want about %g of them", lost, of, share)
	}
	if err := loss.Close(); err != nil {
		t.Error(err)
	}
	if got := answered(100); got != 100 {
		t.Errorf("%d of 100 were answered when nothing was lost any more", got)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

// The seed says which packets are lost.
func TestLossBySeed(t *testing.T) {
	const packets, share = 5000, 0.05
	verdicts := map[uint64]string{}
	for _, seed := range []uint64{1, 2} {
		state, err := ebpf.NewMap(lossStates(seed))
		if err != nil {
			t.Fatal(err)
		}
		defer state.Close()
		for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
			program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: lose(state, lossKey(at), lossThreshold(share))})
			if err != nil {
				t.Fatal(err)
			}
			defer program.Close()
			random := mixed(2*seed + uint64(lossKey(at)))
			lost := 0
			for i := range packets {
				got, err := program.Run(&ebpf.RunOptions{Data: make([]byte, 64)})
				if err != nil {
					t.Fatal(err)
				}
				random = random*lossFactor + lossIncrement
				want := uint32(passPacket)
				if float64(random>>(64-lossBits)) < share*(1<<lossBits) {
					want = dropPacket
					lost++
					verdicts[seed] += strconv.Itoa(i) + " "
				}
				if got != want {
					t.Fatalf("seed %d, %v: packet %d: verdict %d, want %d", seed, at, i, got, want)
				}
			}
			if float64(lost) < 0.8*share*packets || float64(lost) > 1.2*share*packets {
				t.Errorf("seed %d, %v: %d of %d lost", seed, at, lost, packets)
			}
		}
	}
	if verdicts[1] == verdicts[2] {
		t.Error("two seeds lose the same")
	}
}
