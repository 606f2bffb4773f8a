package vanycast_test

import (
	"context"
	"log"
	"os"
	"slices"
	"testing"

	"github.com/vanycast/vanycast/api/wire"
)

// The examples' daemons: a rig of two replicas without a test.

// exampleTB is what a rig needs of a test.
type exampleTB struct {
	testing.TB
	cleanups []func()
}

func (tb *exampleTB) Helper()                   {}
func (tb *exampleTB) Context() context.Context  { return context.Background() }
func (tb *exampleTB) Cleanup(f func())          { tb.cleanups = append(tb.cleanups, f) }
func (tb *exampleTB) Fatal(args ...any)         { log.Fatal(args...) }
func (tb *exampleTB) Errorf(f string, a ...any) { log.Fatalf(f, a...) }
func (tb *exampleTB) TempDir() string {
	dir, err := os.MkdirTemp("", "vanycast-example-")
	if err != nil {
		log.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

var exampleRig *rig

// startDaemons starts glass and reich; glass's socket is the default.
func startDaemons() (stop func()) {
	tb := new(exampleTB)
	exampleRig = newRig(tb, nil, glass, reich)
	os.Setenv(wire.EnvSocket, socketOf("glass"))
	return func() {
		os.Unsetenv(wire.EnvSocket)
		for _, f := range slices.Backward(tb.cleanups) {
			f()
		}
	}
}

func socketOf(name string) string {
	if name == "reich" {
		return exampleRig.replicas[reich].socket
	}
	return exampleRig.replicas[glass].socket
}
