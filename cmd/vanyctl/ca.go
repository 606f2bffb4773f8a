package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vanycast/vanycast/peer/pki"
)

func newCA() *cobra.Command {
	ca := &cobra.Command{
		Use:   "ca",
		Short: "Makes the certificates of the replicas' secure channel",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.Join(cmd.Usage(), usageError{errors.New("ca: which command?")})
		},
	}
	dir := ca.PersistentFlags().String("dir", ".", "the `FOLDER` of the authority's files")
	ca.AddCommand(newCAInit(dir), newCAIssue(dir))
	return ca
}

func newCAInit(dir *string) *cobra.Command {
	return &cobra.Command{
		Use:   "init",
		Short: "Makes a new authority: ca.pem, for every replica, and ca.key, for nobody else",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := os.MkdirAll(*dir, 0o700); err != nil {
				return err
			}
			if err := pki.NewAuthority(*dir); err != nil {
				return err
			}
			return made(cmd, *dir, pki.AuthorityCertificate, pki.AuthorityKey)
		},
	}
}

func newCAIssue(dir *string) *cobra.Command {
	var addresses []string
	cmd := &cobra.Command{
		Use:   "issue NAME [ADDRESS...]",
		Short: "Makes a replica's certificate and key, NAME.pem and NAME.key, for its care-of addresses",
		Args:  usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			var addrs []netip.Addr
			for _, s := range slices.Concat(addresses, args[1:]) {
				a, err := netip.ParseAddr(s)
				if err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" {
					return usageError{fmt.Errorf("%q is not an IPv6 address", s)}
				}
				addrs = append(addrs, a)
			}
			if len(addrs) == 0 {
				return usageError{errors.New("the replica's care-of address is missing: --address")}
			}
			if err := pki.Issue(*dir, args[0], addrs); err != nil {
				return err
			}
			return made(cmd, *dir, args[0]+".pem", args[0]+".key")
		},
	}
	cmd.Flags().StringSliceVar(&addresses, "address", nil, "the replica's care-of `ADDRESS`; may be given several times")
	return cmd
}

// made tells which files there are now.
func made(cmd *cobra.Command, dir string, names ...string) error {
	for _, name := range names {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
