package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vanycast/vanycast/tests/cluster"
	"github.com/vanycast/vanycast/tests/lab"
)

// byHand tells how to use the laboratory that make lab leaves.
const byHand = `
The laboratory is up. Try, as root, in this folder:

  ip netns exec %[6]s-modern telnet %[1]s 4000
      a line and Return is echoed; ! echoes all so far; every H in a line hands
      you to another replica; Q ends
  ip netns exec %[6]s-legacy telnet %[1]s 4000
      the same from a host without Mobile IPv6; port 4001: plain handovers
  ip netns exec %[6]s-router tcpdump -n -i modern
      the packets of modern; other interfaces: home glass reich adams legacy
  %[2]s/vanyctl --socket %[3]s handoffs
      also: status, replicas, clients, bindings, events; sockets of the other
      hosts are beside this one: ha.sock modern.sock reich.sock adams.sock

Configuration is in %[4]s, logs in %[5]s.
make lab-down ends it all.
`

// leaveUp brings the laboratory up and leaves it.
func leaveUp(ctx context.Context, tb lab.TB, bin, state, prefix string) error {
	if _, err := os.Stat(state); err == nil {
		return errors.New("the laboratory is up already; make lab-down ends it")
	}
	if _, err := os.Stat("/run/netns/" + prefix + "-router"); err == nil {
		return fmt.Errorf("namespaces %s-* are there already, of another folder's laboratory? make lab LAB=PREFIX takes other names", prefix)
	}
	dir := filepath.Dir(state)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	n := lab.ThesisOn(lab.New(tb, lab.WithPrefix(prefix), lab.WithDir(dir)), lab.Wire())
	c, _, err := install(ctx, tb, n, bin, cluster.WithLeave())
	if err != nil {
		return err
	}
	if err := n.Leave(state, c.Public()); err != nil {
		return err
	}
	fmt.Printf(byHand, lab.ContactAddress, bin, c.Socket("glass"), filepath.Dir(c.Config("glass")), dir, prefix)
	return nil
}
