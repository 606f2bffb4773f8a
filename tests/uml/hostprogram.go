package uml

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// A guest runs most programs at native speed, but not one that maps a hundred
// megabytes of libraries to look at ten packets. So some programs of the guest
// are only names: umlboot, called by such a name, leaves its arguments in a
// folder of OutDir, and the host runs the real one there.
//
//	OUT/host/N.new/     being written by the guest
//	OUT/host/N/request  asked for; files of the guest that it names are copied beside it
//	OUT/host/N/answer   given
const (
	hostDir     = "host"
	requestFile = "request"
	answerFile  = "answer"
	poll        = 5 * time.Millisecond
)

// hostPrograms are run by the host for the guest, and nothing else is.
var hostPrograms = []string{"tshark"}

type request struct {
	Program string
	Args    []string
}

type answer struct {
	Stdout, Stderr []byte
	Status         int
}

// IsHostProgram tells whether umlboot was called by the name of a program that
// the host runs.
func IsHostProgram(argv0 string) bool { return slices.Contains(hostPrograms, filepath.Base(argv0)) }

// AskHost runs the program on the host, as if here, and returns its exit status.
func AskHost(argv []string, stdout, stderr io.Writer) (int, error) {
	base := filepath.Join(OutDir, hostDir)
	if err := os.MkdirAll(base, 0o755); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp(base, "*.new")
	if err != nil {
		return 0, err
	}
	r := request{Program: filepath.Base(argv[0])}
	for i, arg := range argv[1:] {
		if info, err := os.Stat(arg); err == nil && info.Mode().IsRegular() {
			name := fmt.Sprintf("file%d", i)
			if err := copyFile(filepath.Join(dir, name), arg); err != nil {
				return 0, err
			}
			arg = name
		}
		r.Args = append(r.Args, arg)
	}
	if err := writeJSON(filepath.Join(dir, requestFile), r); err != nil {
		return 0, err
	}
	asked := strings.TrimSuffix(dir, ".new")
	if err := os.Rename(dir, asked); err != nil {
		return 0, err
	}
	defer os.RemoveAll(asked)
	for {
		text, err := os.ReadFile(filepath.Join(asked, answerFile))
		if errors.Is(err, os.ErrNotExist) {
			time.Sleep(poll) // whoever waits for us has a deadline and kills us
			continue
		}
		if err != nil {
			return 0, err
		}
		var a answer
		if err := json.Unmarshal(text, &a); err != nil {
			return 0, err
		}
		_, err1 := stdout.Write(a.Stdout)
		_, err2 := stderr.Write(a.Stderr)
		return a.Status, errors.Join(err1, err2)
	}
}

// serve runs what the guest asks for until ctx ends.
func serve(ctx context.Context, out string) {
	seen := map[string]bool{}
	var running sync.WaitGroup
	defer running.Wait()
	for tick := time.NewTicker(poll); ; {
		select {
		case <-ctx.Done():
			tick.Stop()
			return
		case <-tick.C:
		}
		entries, err := os.ReadDir(filepath.Join(out, hostDir))
		if err != nil {
			continue // nothing was asked yet
		}
		for _, e := range entries {
			dir := filepath.Join(out, hostDir, e.Name())
			if seen[dir] || strings.HasSuffix(dir, ".new") {
				continue
			}
			seen[dir] = true
			running.Go(func() {
				a := execute(ctx, dir)
				// A guest that has gone needs no answer.
				_ = writeJSON(filepath.Join(dir, answerFile+".new"), a)
				_ = os.Rename(filepath.Join(dir, answerFile+".new"), filepath.Join(dir, answerFile))
			})
		}
	}
}

func execute(ctx context.Context, dir string) answer {
	refused := func(err error) answer {
		return answer{Stderr: []byte(fmt.Sprintf("uml: on the host: %v\n", err)), Status: 127}
	}
	text, err := os.ReadFile(filepath.Join(dir, requestFile))
	if err != nil {
		return refused(err)
	}
	var r request
	if err := json.Unmarshal(text, &r); err != nil {
		return refused(err)
	}
	if !slices.Contains(hostPrograms, r.Program) {
		return refused(fmt.Errorf("%q is not for guests", r.Program))
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, r.Program, r.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	err = cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return refused(err)
	}
	return answer{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Status: cmd.ProcessState.ExitCode()}
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
