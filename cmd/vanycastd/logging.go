package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"
	logrusslog "github.com/sirupsen/logrus/hooks/slog"

	"github.com/vanycast/vanycast/conf"
)

// newLogger makes the daemon's logger. All packages log through log/slog; what
// a line looks like is decided here alone, by logrus.
func newLogger(cfg conf.Log, out io.Writer) (*slog.Logger, error) {
	level, err := logrus.ParseLevel(cfg.Level)
	if err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	l := logrus.New()
	l.SetOutput(out)
	l.SetLevel(level)
	inJournal, err := journal.StderrIsJournalStream()
	if err != nil {
		inJournal = false // it only decides on the look
	}
	switch cfg.Format {
	case "json":
		l.SetFormatter(&logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano})
	default:
		l.SetFormatter(&logrus.TextFormatter{
			FullTimestamp:   true,
			TimestampFormat: "2006-01-02T15:04:05.000Z07:00",
			// The journal has its own times.
			DisableTimestamp: inJournal,
		})
	}
	return slog.New(logrusslog.NewHandler(l, nil)), nil
}
