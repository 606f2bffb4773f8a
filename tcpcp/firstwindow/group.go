package firstwindow

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// errNoGroup: there is no cgroup (version 2) to attach to.
var errNoGroup = errors.New("no cgroup version 2 is mounted (CONFIG_CGROUPS)")

// ownGroup is the folder of the cgroup, version 2, that this process is in.
func ownGroup() (string, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoGroup, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoGroup, err)
	}
	return groupFolder(string(own), string(mounts))
}

// groupFolder finds it in what these files of proc(5) say.
func groupFolder(own, mounts string) (string, error) {
	path := ""
	for _, line := range strings.Split(own, "\n") {
		if p, ok := strings.CutPrefix(line, "0::"); ok {
			path = p
		}
	}
	if path == "" {
		return "", errNoGroup
	}
	for scan := bufio.NewScanner(strings.NewReader(mounts)); scan.Scan(); {
		// ID, parent, device, root, where, options, optional fields, "-", type.
		before, after, _ := strings.Cut(scan.Text(), " - ")
		fields := strings.Fields(before)
		if len(fields) < 6 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		// What is mounted may be a part of the hierarchy.
		inside, err := filepath.Rel(fields[3], path)
		if err != nil || strings.HasPrefix(inside, "..") {
			continue
		}
		return filepath.Join(fields[4], inside), nil
	}
	return "", errNoGroup
}
