package main

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/vanycast/vanycast/tests/lab"
)

func TestCountLost(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(ms)) }
	handoffs := []handoff{
		{Client: "[2001:db8:a::10]:1000", started: at(100)},
		{Client: "[2001:db8:a::10]:1000", started: at(200)},
		{Client: "[2001:db8:a::10]:2000", started: at(150)},
	}
	up := func(ms int, client string, seq, len uint32) segment {
		return segment{at(ms), client, true, seq, len, uint32(ms)}
	}
	down := func(ms int, client string, seq, len uint32) segment {
		return segment{at(ms), client, false, seq, len, uint32(ms)}
	}
	relayed := func(ms, sent int, client string, seq, len uint32) segment {
		return segment{at(ms), client, false, seq, len, uint32(sent)}
	}
	for _, tt := range []struct {
		name     string
		segments []segment
		want     []int
	}{
		{"nothing sent", nil, []int{0, 0, 0}},
		{"in order", []segment{up(110, "1000", 1, 10), up(120, "1000", 11, 10), down(130, "1000", 1, 10)}, []int{0, 0, 0}},
		{"sent again after the first", []segment{up(110, "1000", 1, 10), up(160, "1000", 1, 10)}, []int{1, 0, 0}},
		{"sent again by the next server", []segment{down(190, "1000", 1, 10), down(210, "1000", 1, 10)}, []int{0, 1, 0}},
		{"sent on by another replica", []segment{down(110, "1000", 1, 10), relayed(112, 110, "1000", 1, 10)}, []int{0, 0, 0}},
		{"sent again, and that sent on", []segment{down(110, "1000", 1, 10), relayed(112, 110, "1000", 1, 10),
			down(160, "1000", 1, 10), relayed(162, 160, "1000", 1, 10)}, []int{1, 0, 0}},
		{"half of it again", []segment{up(210, "1000", 1, 10), up(220, "1000", 6, 10)}, []int{0, 1, 0}},
		{"before any handoff", []segment{up(10, "1000", 1, 10), up(20, "1000", 1, 10)}, []int{0, 0, 0}},
		{"another client", []segment{up(210, "2000", 1, 10), up(220, "2000", 1, 10)}, []int{0, 0, 1}},
		{"captured out of order", []segment{up(220, "1000", 11, 10), up(210, "1000", 1, 10)}, []int{0, 0, 0}},
		{"past the end of the numbers", []segment{up(210, "1000", 0xfffffff8, 16), up(220, "1000", 8, 4), up(230, "1000", 0xfffffff8, 16)}, []int{0, 1, 0}},
	} {
		if got := countLost(tt.segments, handoffs); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestJudge(t *testing.T) {
	var good []handoff
	for host, least := range leastHandoffs {
		site, _ := lab.SiteOf(host)
		for i := range least {
			h := handoff{Client: netip.AddrPortFrom(site.Addr, 1000).String(), From: "glass", To: "reich"}
			if i%2 == 1 {
				h.From, h.To = "reich", "glass"
			}
			good = append(good, h)
		}
	}
	if err := judge(good); err != nil {
		t.Errorf("judge() = %v for a good session", err)
	}
	for name, spoil := range map[string]func([]handoff) []handoff{
		"too few":    func(h []handoff) []handoff { return h[1:] },
		"to itself":  func(h []handoff) []handoff { h[3].To = h[3].From; return h },
		"a gap":      func(h []handoff) []handoff { h[4].From = "adams"; return h },
		"one client": func(h []handoff) []handoff { return h[:leastHandoffs["legacy"]] },
	} {
		if judge(spoil(slices.Clone(good))) == nil {
			t.Errorf("%s: not noticed", name)
		}
	}
}
