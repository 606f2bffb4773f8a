package uml

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// modules that the laboratory needs. A missing one is named on the console, and
// what needs it fails there.
var modules = []string{
	"veth", "tun", "bridge",
	"tunnel6", "ip6_tunnel", "xfrm_user", "xfrm_algo", "esp6", "af_key", "mip6",
	"ctr", "ghash-generic", "cbc", "gcm", "sha512_generic", "jitterentropy_rng", "drbg", "authenc", "echainiv", "seqiv", "sha256_generic", "hmac",
	"sch_netem", "sch_ingress", "cls_bpf", "cls_u32", "act_gact",
}

// goWithoutAVX is for the Go runtime and crypto, init's own among them.
const goWithoutAVX = "GODEBUG=cpu.avx=off,cpu.avx2=off,cpu.avx512f=off,cpu.avx512bw=off,cpu.avx512vl=off,cpu.fma=off"

// guestEnvironment is what the guest's programs run with: without AVX, see the
// package comment (Go, the C library, OpenSSL). With it modprobe already
// misreads its own arguments.
func guestEnvironment() []string {
	return []string{
		"PATH=" + hostBin + ":/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "LANG=C.UTF-8", "TMPDIR=/tmp", "VANYCAST_LAB=uml",
		goWithoutAVX,
		"GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512BW,-AVX512VL,-FMA,-RTM,-AVX_Fast_Unaligned_Load",
		"OPENSSL_ia32cap=~0x1000000000000000:~0x20",
	}
}

// Guest is the guest's init: it prepares the system, runs the command that the
// host left, and writes its exit status out. It never returns.
func Guest(env []string) {
	status, err := guest(env)
	if err != nil {
		fmt.Fprintln(os.Stderr, "uml: guest:", err)
	}
	if status >= 0 {
		text := fmt.Sprintf("%d\n", status)
		if err := os.WriteFile(filepath.Join(OutDir, statusFile), []byte(text), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "uml: guest: exit status:", err)
		}
	}
	unix.Sync()
	// Only an error comes back; init must not end by itself, the kernel would panic.
	err = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	fmt.Fprintln(os.Stderr, "uml: guest: power off:", err)
	select {}
}

func guest(env []string) (status int, err error) {
	if err := mountAll(env); err != nil {
		return -1, err
	}
	if err := loadModules(); err != nil {
		// The tests that need one say so themselves.
		fmt.Fprintln(os.Stderr, "uml: guest:", err)
	}
	if out, err := exec.Command("/usr/sbin/ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return -1, fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	command, err := os.ReadFile(filepath.Join(OutDir, commandFile))
	if err != nil {
		return -1, err
	}
	cmd := exec.Command("/bin/sh", "-c", string(command))
	cmd.Env = guestEnvironment()
	cmd.Dir = "/tmp"
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	fmt.Println(commandBegins)
	err = cmd.Run()
	fmt.Println("\n" + commandEnds)
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return -1, err
	}
	return 0, nil
}

// mount is one of the guest's file systems.
type mount struct{ kind, at, data string }

func mountAll(env []string) error {
	// The program may lie where the guest's own /tmp will be. /proc is the host's
	// still: /proc/self/exe would be the kernel that we run in.
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		return fmt.Errorf("reading the guest's init: %w", err)
	}
	mounts := []mount{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"devpts", "/dev/pts", "newinstance,ptmxmode=0666"},
		{"tmpfs", "/run", "mode=755"},
		{"tmpfs", "/tmp", "mode=1777"},
		{"hostfs", OutDir, variable(env, "OUT")},
	}
	if show := variable(env, "SHOW"); strings.HasPrefix(show, "/tmp/") || strings.HasPrefix(show, "/run/") {
		mounts = append(mounts, mount{"hostfs", show, show})
	}
	for _, m := range mounts {
		if m.kind == "hostfs" || m.kind == "devpts" {
			if err := os.MkdirAll(m.at, 0o755); err != nil {
				return err
			}
		}
		// The kernel may have mounted /dev itself.
		if err := unix.Mount(m.kind, m.at, m.kind, 0, m.data); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.at, err)
		}
	}
	if err := os.MkdirAll("/run/netns", 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(hostBin, 0o755); err != nil {
		return err
	}
	for _, name := range hostPrograms {
		if err := os.WriteFile(filepath.Join(hostBin, name), self, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func variable(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// hostBin stands first in the guest's PATH.
const hostBin = "/run/host"

// loadModules goes through a directory of our own: /lib/modules has no folder
// for the guest's version.
func loadModules() error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return fmt.Errorf("uname: %w", err)
	}
	version := unix.ByteSliceToString(uts.Release[:])
	const base = "/run/modules"
	if err := os.MkdirAll(base+"/lib/modules", 0o755); err != nil {
		return err
	}
	if err := os.Symlink("/usr/lib/uml/modules/"+version, base+"/lib/modules/"+version); err != nil {
		return err
	}
	var errs []error
	for _, m := range modules {
		cmd := exec.Command("/usr/sbin/modprobe", "-d", base, m)
		cmd.Env = guestEnvironment()
		out, err := cmd.CombinedOutput()
		if err != nil {
			errs = append(errs, fmt.Errorf("modprobe %s: %w: %s", m, err, out))
		}
	}
	return errors.Join(errs...)
}
