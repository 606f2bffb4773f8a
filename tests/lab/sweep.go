package lab

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sweepPrefix begins the name of every namespace that belongs to a process;
// the process id follows.
const sweepPrefix = "vc"

// namespaceDir is where ip(8) keeps its names.
const namespaceDir = "/run/netns"

// sweep takes away the namespaces whose maker is dead (a test that was killed,
// or that ran into go test's timeout, cleans up nothing), and what still runs
// in them. Those of living processes, and those without a process id in their
// name, are not touched.
func sweep(tb TB) {
	entries, err := os.ReadDir(namespaceDir)
	if err != nil {
		return // no namespace was ever made on this machine
	}
	for _, e := range entries {
		pid, ours := ownerOf(e.Name())
		if !ours || syscall.Kill(pid, 0) == nil {
			continue
		}
		if err := removeNamespace(e.Name()); err != nil {
			tb.Logf("lab: left by dead process %d: %v", pid, err)
		}
	}
}

// ownerOf reads the process id out of a namespace's name.
func ownerOf(namespace string) (pid int, ours bool) {
	rest, ok := strings.CutPrefix(namespace, sweepPrefix)
	if !ok {
		return 0, false
	}
	number, _, ok := strings.Cut(rest, ".")
	if !ok {
		return 0, false
	}
	pid, err := strconv.Atoi(number)
	return pid, err == nil && pid > 1
}

// removeNamespace kills what still runs in a namespace of ours, waits until it
// is gone, and removes the name. Nothing running there is the normal case: who
// is found is named in the error.
func removeNamespace(namespace string) error {
	var found []string
	deadline := time.Now().Add(5 * time.Second)
	for {
		pids, err := inhabitants(namespace)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("namespace %s: processes %v outlived SIGKILL", namespace, pids)
		}
		for _, pid := range pids {
			name, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
			if s := fmt.Sprintf("%d (%s)", pid, strings.TrimSpace(string(name))); len(found) < 8 && !slices.Contains(found, s) {
				found = append(found, s)
			}
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is as good
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := deleteNamespace(namespace); err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("namespace %s: still ran there, killed: %s", namespace, strings.Join(found, ", "))
	}
	return nil
}
