package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vanycast/vanycast/conf"
)

func newCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Explains what is wrong with a configuration file, with line and key",
		Args:  usage(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := conf.Load(args[0]); err != nil {
				return usageError{err}
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", args[0])
			return err
		},
	}
}
