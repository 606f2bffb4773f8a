package firstwindow

import (
	"errors"
	"os"
	"testing"
)

func TestGroupFolder(t *testing.T) {
	const (
		only   = "24 1 0:21 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
		hybrid = "30 29 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
			"38 29 0:34 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		part = "38 29 0:34 /machine /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	)
	for _, c := range []struct{ name, own, mounts, want string }{
		{"one hierarchy", "0::/system.slice/vanycastd.service\n", only, "/sys/fs/cgroup/system.slice/vanycastd.service"},
		{"beside version 1", "4:memory:/a\n0::/\n", hybrid, "/sys/fs/cgroup/unified"},
		{"a part is mounted", "0::/machine/one\n", part, "/sys/fs/cgroup/one"},
		{"another part is mounted", "0::/user\n", part, ""},
		{"not mounted", "0::/\n", "22 1 0:20 / /proc rw - proc proc rw\n", ""},
		{"nonsense", "0::/\n", "\n - cgroup2 \n22 - cgroup2 x\n", ""},
	} {
		path, err := groupPath(c.own)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got, ok := groupFolder(path, c.mounts); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %v; want %q", c.name, got, ok, c.want)
		}
	}
}

func TestGroupPath(t *testing.T) {
	for _, own := range []string{"", "4:memory:/a\n", "0::", "0::a\n"} {
		if path, err := groupPath(own); !errors.Is(err, errNoGroup) {
			t.Errorf("%q: %q, %v; want errNoGroup", own, path, err)
		}
	}
}

// Where it is mounted and where it is not it is the same cgroup.
func TestOpenDetached(t *testing.T) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skip(err)
	}
	path, err := groupPath(string(own))
	if err != nil {
		t.Skip(err)
	}
	mounted, err := openOwnGroup()
	if err != nil {
		t.Skip(err)
	}
	defer mounted.Close()
	detached, err := openDetached(path)
	if errors.Is(err, os.ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer detached.Close()
	a, err := mounted.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := detached.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(a, b) {
		t.Errorf("%s is another cgroup than %s", detached.Name(), mounted.Name())
	}
}
