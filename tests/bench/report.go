package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The part of docs/benchmarks.md that a whole run writes is between these lines.
const (
	reportBegins = "<!-- make bench writes from here -->"
	reportEnds   = "<!-- to here -->"
)

// row says what a result is, in what it is compared with, and what ratio was
// aimed at; names that end in * are prefixes.
type row struct{ name, what, against, aim string }

var rows = []row{
	{"extract_insert_empty", "TCP endpoint out of the kernel and in again, empty queues: processor time", "the same system calls in C", "≤ 1.1"},
	{"extract_insert_64k", "the same with 64 KB in both queues", "the same system calls in C", "≤ 1.1"},
	{"handoff_processor_time", "a whole handoff: processor time of both daemons", "the endpoint's move in C", "≤ 2.5"},
	{"handoffs_per_core", "handoffs per second and core that the daemons use", "moves in C per core", "10,000/s"},
	{"handoffs_per_second", "handoffs per second between two replicas on this machine, with clients and servers on it too", "moves in C on one core", ""},
	{"distributed_modern_per_second", "connections of new clients with Mobile IPv6, distributed to another replica", "plain accept loop", "≥ 0.9"},
	{"distributed_modern_contact_node", "the same: processor time of the contact node's daemon for each", "the accept loop's process", ""},
	{"distributed_legacy_per_second", "connections of clients without Mobile IPv6, distributed to another replica", "plain accept loop", "≥ 0.9"},
	{"distributed_legacy_contact_node", "the same: processor time of the contact node's daemon for each", "the accept loop's process", ""},
	{"page_undistributed", "10 kB page of Apache (thesis §6.3.2) by the contact address and vanyproxy, not distributed", "straight from Apache", ""},
	{"page_distributed_modern", "the same, distributed; a new client with Mobile IPv6 each time", "not distributed", "+0.3 ms"},
	{"page_distributed_legacy", "the same, a client without Mobile IPv6", "not distributed", "+0.3 ms"},
	{"throughput_optimised_up", "iperf3, client to server, route-optimised", "plain IPv6, same MTU", ""},
	{"throughput_optimised_down", "server to client", "plain IPv6, same MTU", ""},
	{"throughput_tunnelled_up", "iperf3, client to server, through the home agent", "plain IPv6, same MTU", ""},
	{"throughput_tunnelled_down", "server to client", "plain IPv6, same MTU", ""},
	{"home_agent_forwarding_up", "what a home agent forwards, client to server", "the same host's kernel, plainly", ""},
	{"home_agent_forwarding_down", "server to client", "the same host's kernel, plainly", ""},
	{"binding_cache_*_bytes_each", "binding cache, %s bindings: bytes each", "a plain Go map", ""},
	{"binding_cache_*_update", "binding cache, %s bindings: an update", "a plain Go map", ""},
	{"binding_cache_*_lookup", "binding cache, %s bindings: a lookup", "a plain Go map", ""},
	{"xfrm_states_per_second", "optimised flows declared to the kernel's XFRM a second, in user-mode Linux", "iproute2, from a batch", ""},
	{"binding_updates_authenticated", "Binding Updates a second, verified and acknowledged, one thread", "the bare SHA-1 and HMAC sums", ""},
}

// rowOf finds what is said of a result; one that nothing is said of has its name.
func rowOf(name string) row {
	for _, r := range rows {
		before, after, pattern := strings.Cut(r.name, "*")
		if !pattern && r.name == name {
			return r
		}
		if middle, ok := strings.CutPrefix(name, before); pattern && ok {
			if middle, ok = strings.CutSuffix(middle, after); ok {
				r.what = fmt.Sprintf(r.what, middle)
				return r
			}
		}
	}
	return row{what: name, against: "its reference"}
}

// markdown is the table for people: ratios first, for they are all that holds on
// another machine.
func (r results) markdown(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, Linux %s, %d cores (%s), %s.\n\n", now.UTC().Format(time.DateOnly), release(), runtime.NumCPU(), processor(), runtime.Version())
	b.WriteString("| measured | ratio | aim | value | reference | against |\n|---|---:|---|---:|---:|---|\n")
	for _, x := range r {
		d := rowOf(x.Name)
		fmt.Fprintf(&b, "| %s | **%.2f** | %s | %s %s | %s %s | %s |\n", d.what, x.Ratio, d.aim, number(x.Value), x.Unit, number(x.Reference), x.Unit, d.against)
	}
	return b.String()
}

// number has three digits that mean something.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of unknown release"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// processor is what the kernel calls it.
func processor() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return runtime.GOARCH
}

// report puts the table into a document.
func (r results) report(path string, now time.Time) error {
	return replace(path, reportBegins, reportEnds, r.markdown(now))
}

// replace puts text between two lines of a document.
func replace(path, begin, end, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(b), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return fmt.Errorf("%s: no place for the results: %s … %s", path, begin, end)
	}
	return os.WriteFile(path, []byte(before+begin+"\n\n"+text+"\n"+end+after), 0o644)
}
