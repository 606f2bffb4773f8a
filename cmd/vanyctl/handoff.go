package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/vanycast/vanycast/api/client"
	"github.com/vanycast/vanycast/api/wire"
)

// newHandoff makes the one command that changes something.
func newHandoff(connect func() *client.Client) *cobra.Command {
	var who, to string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "handoff --client ADDRESS --to REPLICA",
		Short: "Hands all connections of a client over to another replica",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var req wire.HandoffRequest
			for _, a := range []struct {
				flag, value string
				to          *netip.Addr
			}{{"client", who, &req.Client}, {"to", to, &req.To}} {
				var err error
				if *a.to, err = netip.ParseAddr(a.value); err != nil {
					return usageError{fmt.Errorf("--%s: %w", a.flag, err)}
				}
			}
			c := connect()
			defer c.Close()
			all, err := c.HandoffClient(cmd.Context(), req)
			if err != nil {
				return err
			}
			if asJSON {
				raw, err := json.Marshal(all)
				if err == nil {
					err = printJSON(cmd.OutOrStdout(), raw)
				}
				return errors.Join(err, stayed(all))
			}
			t := newTable(cmd.OutOrStdout(), "SERVICE", "CLIENT", "RESULT")
			for _, h := range all {
				result := "done"
				if h.Failure != nil {
					result = h.Failure.Text
				}
				t.row(h.Service, h.Remote, result)
			}
			return errors.Join(t.flush(), stayed(all))
		},
	}
	cmd.Flags().StringVar(&who, "client", "", "the client's `ADDRESS`")
	cmd.Flags().StringVar(&to, "to", "", "the care-of address of the `REPLICA`")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, for programs")
	return cmd
}

// stayed is the error for connections that were not handed over.
func stayed(all []wire.ClientHandoff) error {
	n := 0
	for _, h := range all {
		if h.Failure != nil {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d connections stayed here", n, len(all))
}
