package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// addNamespace does what `ip netns add` does once that has made namespaceDir what
// it should be: a shared mount, so that a namespace which is removed goes away under
// those too who run in a mount namespace of their own (`ip netns exec`). In user-mode
// Linux starting a program costs a fifth of a second.
func addNamespace(name string) error {
	path := filepath.Join(namespaceDir, name)
	f, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	err = inThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("namespace %s: unshare (CONFIG_NET_NS): %w", name, err)
		}
		if err := unix.Mount("/proc/thread-self/ns/net", path, "none", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("namespace %s: mounting: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// deleteNamespace takes the name away, as `ip netns del` does; the namespace goes
// with who uses it last. One that is not there is no error.
func deleteNamespace(name string) error {
	path := filepath.Join(namespaceDir, name)
	// EINVAL: a name that was never mounted, of somebody who was killed in between.
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("namespace %s: unmounting: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	return nil
}

// inhabitants are the processes in a namespace, this one excepted (a thread of
// ours in Do counts as us).
func inhabitants(namespace string) ([]int, error) {
	var there unix.Stat_t
	switch err := unix.Stat(filepath.Join(namespaceDir, namespace), &there); {
	case errors.Is(err, unix.ENOENT):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("namespace %s: %w", namespace, err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var at unix.Stat_t
		if unix.Stat("/proc/"+e.Name()+"/ns/net", &at) == nil && at.Ino == there.Ino && at.Dev == there.Dev {
			pids = append(pids, pid)
		}
	}
	slices.Sort(pids)
	return pids, nil
}

// inThread runs f on a thread that may change its namespace, and returns what it
// returned. Without UnlockOSThread the runtime ends the thread together with the
// goroutine: the answer to every error that could leave it in the wrong namespace,
// and to runtime.Goexit in f (t.Fatal).
func inThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := errors.New("the function did not return")
		defer func() { result <- err }()

		home, e := os.Open("/proc/thread-self/ns/net")
		if e != nil {
			err = e
			return
		}
		defer home.Close()
		err = f()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return <-result
}
