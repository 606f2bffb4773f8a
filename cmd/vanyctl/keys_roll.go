package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/api/client"
	"github.com/vanycast/vanycast/api/wire"
)

func newKeysShow(connect func() *client.Client) *cobra.Command {
	return show(connect, "show", "The keys of this host, but for the keys themselves", wire.PathKeys, printKeys)
}

func printKeys(w io.Writer, all []wire.Key) error {
	t := newTable(w, "CONTACT", "REPLICA", "HOME AGENT", "HERE", "GENERATION", "ALGORITHM", "SENDS", "HEARD")
	for _, k := range all {
		t.row(k.Contact, k.CareOf, k.HomeAgent, k.Side, k.Generation, k.Algorithm, k.Sending, k.Heard)
	}
	return t.flush()
}

// newKeysRoll writes what it made to standard output, for keys load: it holds
// keys, so it goes to no terminal.
func newKeysRoll(connect func() *client.Client) *cobra.Command {
	var contact, careOf, algorithm string
	cmd := &cobra.Command{
		Use:   "roll",
		Short: "At a home agent: makes new keys and writes them, for keys load at a replica",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			request := wire.RollKeys{Algorithm: algorithm}
			if request.Contact, err = optionalAddress(contact); err != nil {
				return err
			}
			if request.CareOf, err = optionalAddress(careOf); err != nil {
				return err
			}
			if isTerminal(cmd.OutOrStdout()) {
				return usageError{errors.New("keys roll writes keys: not to a terminal; | ssh REPLICA vanyctl keys load")}
			}
			c := connect()
			defer c.Close()
			var answer wire.RolledKeys
			if err := c.Post(cmd.Context(), wire.PathKeysRoll, request, &answer); err != nil {
				return err
			}
			if err := json.NewEncoder(cmd.OutOrStdout()).Encode(answer.Deliveries); err != nil {
				return err
			}
			for _, d := range answer.Deliveries {
				fmt.Fprintf(cmd.ErrOrStderr(), "new keys of %v for %v\n", d.Contact, d.CareOf)
			}
			if answer.Error != "" {
				return errors.New(answer.Error)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&contact, "contact", "", "only those of this contact `ADDRESS`")
	cmd.Flags().StringVar(&careOf, "care-of", "", "only those of the replica with this `ADDRESS`, be they revoked or not")
	cmd.Flags().StringVar(&algorithm, "algorithm", "", "`NAME`: "+algorithms()+"; default: as before")
	return cmd
}

func newKeysLoad(connect func() *client.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "load",
		Short: "At a contact node: reads what keys roll wrote, and gives each contact node its own",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), wire.MaxKeys+1))
			switch {
			case err != nil:
				return err
			case len(b) > wire.MaxKeys:
				return fmt.Errorf("more than %d bytes of keys", wire.MaxKeys)
			}
			var deliveries []wire.KeyDelivery
			if err := json.Unmarshal(b, &deliveries); err != nil {
				return errors.New("standard input is not what keys roll writes") // err may quote it
			}
			c := connect()
			defer c.Close()
			var loaded []wire.KeyLoaded
			if err := c.Post(cmd.Context(), wire.PathKeysLoad, deliveries, &loaded); err != nil {
				return err
			}
			return printLoaded(cmd.OutOrStdout(), loaded)
		},
	}
}

func printLoaded(w io.Writer, all []wire.KeyLoaded) error {
	t := newTable(w, "CONTACT", "REPLICA", "RESULT")
	failed := 0
	for _, l := range all {
		result := "in use"
		if l.Error != "" {
			result = l.Error
			failed++
		}
		t.row(l.Contact, l.CareOf, result)
	}
	if err := t.flush(); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d are not in use; the old keys are. Load them again, or roll anew", failed, len(all))
	}
	return nil
}

func newKeysRevoke(connect func() *client.Client) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke CARE-OF",
		Short: "At a home agent: forgets a replica's keys, and what it has registered",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			careOf, err := optionalAddress(args[0])
			if err == nil && !careOf.IsValid() {
				err = usageError{errors.New("which replica?")}
			}
			if err != nil {
				return err
			}
			c := connect()
			defer c.Close()
			var revoked []wire.RevokedKey
			if err := c.Post(cmd.Context(), wire.PathKeysRevoke, wire.RevokeKeys{CareOf: careOf}, &revoked); err != nil {
				return err
			}
			t := newTable(cmd.OutOrStdout(), "CONTACT", "REPLICA", "WAS REGISTERED")
			for _, r := range revoked {
				t.row(r.Contact, r.CareOf, r.Registered)
			}
			return t.flush()
		},
	}
}

// optionalAddress reads an argument that may be empty.
func optionalAddress(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" {
		return netip.Addr{}, usageError{fmt.Errorf("%q is not an IPv6 address", s)}
	}
	return a, nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
