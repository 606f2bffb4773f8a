package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// left is the state file of a laboratory that outlives its maker.
type left struct {
	Namespaces []string      `json:"namespaces"`
	Processes  []leftProcess `json:"processes"` // in the order of their start
	Folders    []string      `json:"folders"`   // to be removed
}

// leftProcess names a process beyond doubt: an id alone may be another's by
// the time it is needed.
type leftProcess struct {
	Name    string `json:"name"`
	Pid     int    `json:"pid"`
	Started uint64 `json:"started"` // clock ticks after boot, proc(5)
}

// Leave writes the laboratory's state file and detaches it: it stays up, with
// what runs in it, until TakeDown reads the file.
func (n *Net) Leave(path string, folders ...string) error {
	state := left{Folders: folders}
	n.mu.Lock()
	for _, h := range n.hosts {
		state.Namespaces = append(state.Namespaces, h.ns)
	}
	processes := n.processes
	n.mu.Unlock()
	for _, p := range processes {
		started, err := startTime(p.Pid())
		if err != nil {
			continue // it has ended
		}
		state.Processes = append(state.Processes, leftProcess{Name: p.host.name + "/" + p.name, Pid: p.Pid(), Started: started})
	}
	b, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return err
	}
	n.Detach()
	return nil
}

// ErrNotUp means that there is no laboratory to take down.
var ErrNotUp = errors.New("no laboratory is up")

// TakeDown ends the laboratory of a state file: its processes, last started
// first, its namespaces, its folders, and the file.
func TakeDown(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotUp
	}
	if err != nil {
		return err
	}
	var state left
	if err := json.Unmarshal(b, &state); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	for i := len(state.Processes) - 1; i >= 0; i-- {
		errs = append(errs, state.Processes[i].stop())
	}
	for _, ns := range state.Namespaces {
		if _, err := os.Stat(namespaceDir + "/" + ns); err == nil {
			errs = append(errs, removeNamespace(ns))
		}
	}
	for _, dir := range state.Folders {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(append(errs, os.Remove(path))...)
}

// stop ends the process by SIGTERM, by SIGKILL if it does not obey, unless it
// is gone already.
func (p leftProcess) stop() error {
	deadline := time.Now().Add(stopPatience)
	signal := syscall.SIGTERM
	for p.alive() {
		if err := syscall.Kill(p.Pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%s (pid %d): %w", p.Name, p.Pid, err)
		}
		for p.alive() && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
		if signal == syscall.SIGKILL && p.alive() {
			return fmt.Errorf("%s (pid %d) outlived SIGKILL", p.Name, p.Pid)
		}
		signal, deadline = syscall.SIGKILL, time.Now().Add(stopPatience)
	}
	return nil
}

func (p leftProcess) alive() bool {
	started, err := startTime(p.Pid)
	return err == nil && started == p.Started
}

// startTime reads when a process started; an error if there is none, or if it
// only waits for its parent to notice its end.
func startTime(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	// The name, in parentheses, may hold anything; state is field 3 and
	// starttime field 22 of proc(5).
	i := strings.LastIndexByte(string(b), ')')
	fields := strings.Fields(string(b[i+1:]))
	if i < 0 || len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat: cannot be read", pid)
	}
	if fields[0] == "Z" {
		return 0, fmt.Errorf("process %d has ended", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
