package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vanycast/vanycast/api/client"
	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
	"github.com/vanycast/vanycast/mipv6/ipsec/keyfile"
)

func newKeys(connect func() *client.Client) *cobra.Command {
	keys := &cobra.Command{
		Use:   "keys",
		Short: "The IPsec keys of replicas and their home agent",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.Join(cmd.Usage(), usageError{errors.New("keys: which command?")})
		},
	}
	keys.AddCommand(newKeysNew(), newKeysShow(connect), newKeysRoll(connect), newKeysLoad(connect), newKeysRevoke(connect))
	return keys
}

func newKeysNew() *cobra.Command {
	var algorithm string
	cmd := &cobra.Command{
		Use:   "new FILE...",
		Short: "Makes new key files, one for each pair of a replica and its home agent; copy each to both",
		Args:  usage(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, files []string) error {
			if esp.Algorithm(algorithm).KeyLen() == 0 {
				return usageError{fmt.Errorf("algorithm %q is unknown; one of: %s", algorithm, algorithms())}
			}
			for _, f := range files {
				g, err := ipsec.Generate(1, esp.Algorithm(algorithm), rand.Reader, nil)
				if err != nil {
					return err
				}
				if err := keyfile.Write(f, []ipsec.Generation{g}); err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), f)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&algorithm, "algorithm", string(esp.Algorithms()[0]), "`NAME`: "+algorithms())
	return cmd
}

func algorithms() string {
	var names []string
	for _, a := range esp.Algorithms() {
		names = append(names, string(a))
	}
	return strings.Join(names, ", ")
}
