package firstwindow

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// errNoGroup: this process is in no cgroup of version 2.
var errNoGroup = errors.New("no cgroup version 2 (CONFIG_CGROUPS)")

// openOwnGroup opens the cgroup, version 2, that this process is in.
func openOwnGroup() (*os.File, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoGroup, err)
	}
	path, err := groupPath(string(own))
	if err != nil {
		return nil, err
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	if folder, ok := groupFolder(path, string(mounts)); ok {
		return os.Open(folder)
	}
	f, err := openDetached(path)
	if err != nil {
		return nil, fmt.Errorf("cgroup %s is not mounted here, and to mount it: %w", path, err)
	}
	return f, nil
}

// openDetached mounts the hierarchy where nobody sees it: "ip netns exec" hides
// that of the host behind another /sys. The mount ends with its descriptor.
func openDetached(path string) (*os.File, error) {
	fs, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("fsopen cgroup2", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, os.NewSyscallError("fsconfig cgroup2", err)
	}
	mount, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_RDONLY)
	if err != nil {
		return nil, os.NewSyscallError("fsmount cgroup2", err)
	}
	defer unix.Close(mount)
	fd, err := unix.Openat(mount, "."+path, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "openat", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// groupPath finds the cgroup in what /proc/self/cgroup says (cgroups(7)).
func groupPath(own string) (string, error) {
	for line := range strings.Lines(own) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok && strings.HasPrefix(path, "/") {
			return path, nil
		}
	}
	return "", errNoGroup
}

// groupFolder finds the cgroup's folder in what /proc/self/mountinfo says (proc(5)).
func groupFolder(path, mounts string) (string, bool) {
	for line := range strings.Lines(mounts) {
		// ID, parent, device, root, where, options, optional fields, "-", type.
		before, after, _ := strings.Cut(line, " - ")
		fields := strings.Fields(before)
		if len(fields) < 6 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		// What is mounted may be a part of the hierarchy.
		inside, err := filepath.Rel(fields[3], path)
		if err != nil || strings.HasPrefix(inside, "..") {
			continue
		}
		return filepath.Join(fields[4], inside), true
	}
	return "", false
}
