package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/vanycast/vanycast/tests/lab"
	"github.com/vanycast/vanycast/tests/uml"
)

const resultFile = "demo.json"

// bootGuest has the demonstration run in user-mode Linux.
func bootGuest(ctx context.Context, bin, build string) error {
	boot, err := uml.Build(ctx, bin)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	out := filepath.Join(build, "demo-guest")
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	fmt.Println("no root: booting user-mode Linux, where the kernel has Mobile IPv6")
	status, err := uml.Boot(ctx, uml.Config{
		Boot: boot, Show: filepath.Dir(build), Out: out, Console: os.Stdout,
		Command: fmt.Sprintf("cd %s && %s -guest %s", filepath.Dir(build), self, bin),
	})
	if err != nil {
		return err
	}
	result, err := os.ReadFile(filepath.Join(out, resultFile))
	if err == nil {
		err = os.WriteFile(filepath.Join(build, resultFile), result, 0o644)
	}
	if status != 0 {
		err = errors.Join(fmt.Errorf("the demonstration in the guest failed: exit status %d", status), err)
	}
	return err
}

// inGuest is the demonstration there.
func inGuest(ctx context.Context, bin string) error {
	logger := slog.New(slog.NewTextHandler(os.Stderr, nil))
	return lab.Run("demo", logger, func(tb lab.TB) error {
		return demonstrate(ctx, tb, bin, filepath.Join(uml.OutDir, resultFile))
	})
}
