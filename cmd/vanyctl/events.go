package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vanycast/vanycast/api/client"
	"github.com/vanycast/vanycast/api/wire"
)

func newEvents(connect func() *client.Client) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "events",
		Short: "What happens from now on, until interrupted",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := connect()
			defer c.Close()
			out := cmd.OutOrStdout()
			return c.Follow(cmd.Context(), wire.PathEvents, func(raw json.RawMessage) error {
				if asJSON {
					_, err := fmt.Fprintf(out, "%s\n", raw)
					return err
				}
				var e wire.Event
				if err := json.Unmarshal(raw, &e); err != nil {
					return fmt.Errorf("%s: %w", wire.PathEvents, err)
				}
				return printEvent(out, e)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one event a line")
	return cmd
}

// printEvent writes one line; what an event does not have is left out.
func printEvent(w io.Writer, e wire.Event) error {
	line := []string{e.Time.Local().Format("15:04:05.000"), cell(e.Kind)}
	for _, part := range []struct {
		name  string
		value any
		there bool
	}{
		{"service", e.Service, e.Service != ""},
		{"client", e.Client, e.Client.IsValid()},
		{"target", e.Target, e.Target.IsValid()},
	} {
		if part.there {
			line = append(line, part.name+"="+cell(part.value))
		}
	}
	if e.Text != "" {
		line = append(line, cell(e.Text))
	}
	_, err := fmt.Fprintln(w, strings.Join(line, "  "))
	return err
}
