package benchmark

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// traced, in the environment, tells TestMoveTraced how long the queues are.
const traced = "TCPCP_BENCHMARK_TRACED"

// Moving an endpoint costs its system calls, so their numbers are pinned: more is
// a regression, and fewer deserves to be written here.
func TestSystemCalls(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: ", err)
	}
	for _, c := range []struct {
		queue     string
		take, put string
	}{
		{"0",
			"close 1, connect 1, getpeername 1, getsockname 1, getsockopt 24, recvfrom 1, setsockopt 7",
			"bind 1, connect 1, setsockopt 18, socket 1"},
		{"65536",
			"close 1, connect 1, getpeername 1, getsockname 1, getsockopt 25, ioctl 3, ppoll 1, recvfrom 2, setsockopt 8",
			"bind 1, connect 1, sendto 2, setsockopt 20, socket 1"},
	} {
		t.Run(c.queue+" bytes", func(t *testing.T) {
			trace := filepath.Join(t.TempDir(), "trace")
			cmd := exec.Command(strace, "-f", "-qq", "-s", "0", "-o", trace, os.Args[0], "-test.run", "^TestMoveTraced$")
			cmd.Env = append(os.Environ(), traced+"="+c.queue, "GOGC=off")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v: %v\n%s", cmd, err, out)
			}
			b, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			take, put := countCalls(t, b)
			if take != c.take {
				t.Errorf("freeze, extract and forget make\n%s, want\n%s", take, c.take)
			}
			if put != c.put {
				t.Errorf("insert and activate make\n%s, want\n%s", put, c.put)
			}
		})
	}
}

// TestMoveTraced is what TestSystemCalls watches.
func TestMoveTraced(t *testing.T) {
	var queue int
	if _, err := fmt.Sscan(os.Getenv(traced), &queue); err != nil {
		t.Skip("only under TestSystemCalls")
	}
	err := isolated(func() error {
		c, err := newConnection(queue)
		if err != nil {
			return err
		}
		defer c.close()
		for range 3 { // the first is different: it makes buffers
			mark(marks[0])
			e, err := c.take()
			mark(marks[1])
			if err != nil {
				return err
			}
			err = c.put(e)
			mark(marks[2])
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// marks are process groups that there are not.
var marks = [3]int{-71, -72, -73}

// mark shows in the trace, and does nothing.
func mark(pid int) { _, _ = unix.Getpgid(pid) }

var traceLine = regexp.MustCompile(`^(\d+) +(\w+)\((-\d+)?`)

// countCalls counts the last move's calls, of the thread that made the marks.
func countCalls(t *testing.T, trace []byte) (take, put string) {
	t.Helper()
	var thread string
	var counts [2]map[string]int
	within := -1
	for lines := bufio.NewScanner(bytes.NewReader(trace)); lines.Scan(); {
		m := traceLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		if m[2] == "getpgid" {
			thread = m[1]
			switch m[3] {
			case "-71":
				within, counts = 0, [2]map[string]int{{}, {}}
			case "-72":
				within = 1
			case "-73":
				within = -1
			}
			continue
		}
		if within >= 0 && m[1] == thread && !ours(m[2]) {
			counts[within][m[2]]++
		}
	}
	if thread == "" || within != -1 {
		t.Fatal("no whole move in the trace")
	}
	return list(counts[0]), list(counts[1])
}

// ours are calls that Go's runtime makes when it likes.
func ours(call string) bool {
	return slices.Contains([]string{"futex", "madvise", "mmap", "munmap", "rt_sigreturn", "sched_yield", "nanosleep", "tgkill", "getpid", "epoll_pwait"}, call)
}

func list(counts map[string]int) string {
	var parts []string
	for call, n := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", call, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}
