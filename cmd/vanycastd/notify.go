package main

import (
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifyReady tells systemd, if it started us (Type=notify), that all roles are
// up; notifyStopping, that they are being taken down. Elsewhere they do nothing.
func notifyReady(logger *slog.Logger)    { notify(logger, daemon.SdNotifyReady) }
func notifyStopping(logger *slog.Logger) { notify(logger, daemon.SdNotifyStopping) }

func notify(logger *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		logger.Warn("service manager not told", "state", state, "err", err)
	}
}
