package firstwindow

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// Setter sets first windows of this process's sockets.
type Setter struct {
	windows *ebpf.Map
	program *ebpf.Program
	link    link.Link
}

// New attaches the program. The error is one line that names what the kernel was
// built without, or what the process may not.
func New() (*Setter, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("firstwindow: raising RLIMIT_MEMLOCK: %w", err)
	}
	group, err := openOwnGroup()
	if err != nil {
		return nil, fmt.Errorf("firstwindow: %w", err)
	}
	defer group.Close()
	s := new(Setter)
	if err := s.attach(group); err != nil {
		return nil, errors.Join(fmt.Errorf("firstwindow: %w", err), s.Close())
	}
	return s, nil
}

func (s *Setter) attach(group *os.File) (err error) {
	if s.windows, err = ebpf.NewMap(mapSpec()); err != nil {
		return fmt.Errorf("map for sockets: %w", dataplane.Explain(err, "CONFIG_BPF_SYSCALL"))
	}
	if s.program, err = ebpf.NewProgram(programSpec(s.windows)); err != nil {
		return fmt.Errorf("program: %w", dataplane.Explain(err, "CONFIG_CGROUP_BPF"))
	}
	// Only as a link: what is attached otherwise stays when the process is killed.
	s.link, err = link.AttachRawLink(link.RawLinkOptions{Target: int(group.Fd()), Program: s.program, Attach: ebpf.AttachCGroupSockOps})
	if err != nil {
		return fmt.Errorf("attaching to %s: %w", group.Name(), dataplane.Explain(err, "CONFIG_CGROUP_BPF"))
	}
	return nil
}

// Set gives a socket that is not connected yet, or each that a listener will
// accept, a first window in segments.
func (s *Setter) Set(fd int, segments uint32) error {
	if err := s.windows.Update(int32(fd), segments, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("firstwindow: %d segments: %w", segments, err)
	}
	return nil
}

// Close takes the program away; connections stay as they are.
func (s *Setter) Close() error {
	var errs []error
	if s.link != nil {
		errs = append(errs, s.link.Close())
	}
	if s.program != nil {
		errs = append(errs, s.program.Close())
	}
	if s.windows != nil {
		errs = append(errs, s.windows.Close())
	}
	return errors.Join(errs...)
}
