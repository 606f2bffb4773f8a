package main

import (
	"bytes"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"vanyctl": main})
}

// The scripts run the command as its users do. `daemon FOLDER` starts a local
// API at $VANYCAST_SOCKET, in the place of the last, which answers GET of …/NAME
// with FOLDER/NAME.json, POST with FOLDER/POST/NAME.json, and 404 if there is none.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(e *testscript.Env) error {
			// A socket's path is short, that of a test's folder may not be.
			dir, err := os.MkdirTemp("", "vanyctl-")
			if err != nil {
				return err
			}
			e.Defer(func() { os.RemoveAll(dir) })
			e.Setenv("VANYCAST_SOCKET", filepath.Join(dir, "api.sock"))
			e.Setenv("TZ", "UTC")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"daemon": daemon},
	})
}

func daemon(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: daemon FOLDER")
	}
	os.Remove(ts.Getenv("VANYCAST_SOCKET"))
	ln, err := net.Listen("unix", ts.Getenv("VANYCAST_SOCKET"))
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, "/v1/")
		folder := dir
		if r.Method == http.MethodPost {
			folder = filepath.Join(dir, "POST")
		}
		b, err := os.ReadFile(filepath.Join(folder, filepath.Base(name)+".json"))
		if !ok || err != nil || r.Method != http.MethodGet && r.Method != http.MethodPost {
			w.WriteHeader(http.StatusNotFound)
			b = []byte(`{"error":"this host has no such role"}`)
		}
		w.Write(b)
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(ln) }()
	ts.Defer(func() { srv.Close(); <-done })
}

// What others send cannot write to the terminal or begin a new line.
func TestCellsStayInTheirLine(t *testing.T) {
	var b bytes.Buffer
	tab := newTable(&b, "A", "B")
	tab.row("x\ny\x1b[31m", "")
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff("A         B\nx y [31m  -\n", b.String()); d != "" {
		t.Error(d)
	}
}
