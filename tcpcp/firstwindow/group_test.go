package firstwindow

import (
	"errors"
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
		{"version 1 only", "4:memory:/a\n", hybrid, ""},
		{"not mounted", "0::/\n", "22 1 0:20 / /proc rw - proc proc rw\n", ""},
		{"nonsense", "0::/\n", "\n - cgroup2 \n22 - cgroup2 x\n", ""},
	} {
		got, err := groupFolder(c.own, c.mounts)
		if got != c.want || (c.want == "") != errors.Is(err, errNoGroup) {
			t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}
