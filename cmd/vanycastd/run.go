package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/vanycast/vanycast/conf"
)

// run starts the roles of the configuration and serves until ctx ends; then it
// takes away all that it put on the host.
func run(_ context.Context, _ *conf.Config, logger *slog.Logger) error {
	notifyReady(logger)
	defer notifyStopping(logger)
	return errors.New("no roles wired")
}
