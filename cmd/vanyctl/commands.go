package main

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vanycast/vanycast/api/client"
	"github.com/vanycast/vanycast/api/wire"
)

func newStatus(connect func() *client.Client) *cobra.Command {
	return show(connect, "status", "The host, its roles and services, counters", wire.PathStatus, printStatus)
}

func printStatus(w io.Writer, s wire.Status) error {
	t := newTable(w)
	t.row("name", s.Name)
	t.row("roles", strings.Join(s.Roles, ", "))
	t.row("interface", s.Interface)
	t.row("care-of", s.CareOf)
	t.row("data plane", s.Dataplane)
	t.row("started", s.Started)
	t.row("version", s.Version)
	if err := t.flush(); err != nil {
		return err
	}
	if len(s.Services) > 0 {
		fmt.Fprintln(w)
		t = newTable(w, "SERVICE", "CONTACT", "CONTACT NODE", "RANK", "POLICY", "SERVER", "CLIENTS", "WAITING")
		for _, v := range s.Services {
			server := "none"
			if v.Listening {
				server = "listening"
			}
			t.row(v.Name, v.Contact, contactNode(v), rank(v), v.Policy, server, v.Clients, fmt.Sprintf("%d of %d", v.Waiting, v.Backlog))
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	return printCounters(w, s.Counters)
}

// contactNode says who holds a service's contact address.
func contactNode(s wire.Service) string {
	switch {
	case s.ContactNode:
		return "this host"
	case s.Holder.IsValid():
		return s.Holder.String()
	}
	return "another"
}

// rank is this host's place among those that may.
func rank(s wire.Service) string {
	if s.Rank == 0 {
		return "-"
	}
	return strconv.Itoa(s.Rank)
}

// printCounters leaves out those that are 0: what happened is easier to see.
func printCounters(w io.Writer, all map[string]uint64) error {
	names := slices.Sorted(maps.Keys(all))
	names = slices.DeleteFunc(names, func(name string) bool { return all[name] == 0 })
	if len(names) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := newTable(w, "COUNTER", "VALUE")
	for _, name := range names {
		t.row(name, all[name])
	}
	return t.flush()
}

func newReplicas(connect func() *client.Client) *cobra.Command {
	return show(connect, "replicas", "The replicas as this host sees them", wire.PathReplicas, printReplicas)
}

func printReplicas(w io.Writer, all []wire.Replica) error {
	t := newTable(w, "SERVICE", "REPLICA", "STATE", "TOOK", "FAILED", "LAST FAILURE")
	for _, r := range all {
		state := "usable"
		switch {
		case r.Self && r.Listening:
			state = "this host"
		case r.Self:
			state = "this host, no server"
		case !r.Excluded.IsZero():
			state = "left out until " + r.Excluded.Local().Format(time.TimeOnly)
		}
		t.row(r.Service, r.Address, state, r.Accepted, r.Failed, r.Error)
	}
	return t.flush()
}

func newClients(connect func() *client.Client) *cobra.Command {
	return show(connect, "clients", "The clients that are served here", wire.PathClients, printClients)
}

func printClients(w io.Writer, all []wire.Client) error {
	t := newTable(w, "SERVICE", "CLIENT", "STATE", "SINCE", "FROM", "TO", "MOBILE IPV6")
	for _, c := range all {
		t.row(c.Service, c.Remote, c.State, c.Since, c.From, c.Target, c.MobileIPv6)
	}
	return t.flush()
}

func newBindings(connect func() *client.Client) *cobra.Command {
	return show(connect, "bindings", "Registrations and bindings, of every role", wire.PathBindings, printBindings)
}

func printBindings(w io.Writer, all []wire.Binding) error {
	t := newTable(w, "ROLE", "HOME ADDRESS", "CARE-OF ADDRESS", "WITH", "SEQUENCE", "EXPIRES", "STATE")
	for _, b := range all {
		with := any(b.Peer)
		if b.Port != 0 {
			with = netip.AddrPortFrom(b.Peer, b.Port)
		}
		t.row(b.Role, b.Home, b.CareOf, with, b.Sequence, b.Expires, b.State)
	}
	return t.flush()
}

func newHandoffs(connect func() *client.Client) *cobra.Command {
	return show(connect, "handoffs", "The last handoffs, oldest first", wire.PathHandoffs, printHandoffs)
}

func printHandoffs(w io.Writer, all []wire.Handoff) error {
	t := newTable(w, "STARTED", "SERVICE", "CLIENT", "FROM", "TO", "AS", "MODE", "GAP MS", "BYTES", "RESULT")
	for _, h := range all {
		result := "done"
		if h.Error != "" {
			result = h.Error
		}
		t.row(h.Started, h.Service, h.Client, h.From, h.To, h.Role, h.Mode, fmt.Sprintf("%.1f", h.Gap), h.Bytes, result)
	}
	return t.flush()
}
