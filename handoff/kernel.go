package handoff

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/tcpcp"
)

// Kernel is TCP in this host's kernel, through package tcpcp.
type Kernel struct {
	graves   *tcpcp.Graveyard
	openings *openings
	buffers  sync.Pool // of *tcpcp.Buffers: what a busy connection has queued is long
}

var _ TCP = (*Kernel)(nil)

// NewKernel makes one that keeps at most limit connections buried. The error,
// tcpcp.Probe's, says in one line what the kernel or the process lacks.
func NewKernel(limit int) (*Kernel, error) {
	if err := tcpcp.Probe(); err != nil {
		return nil, err
	}
	graves := tcpcp.NewGraveyard(limit)
	return &Kernel{
		graves:   graves,
		openings: newOpenings(graves),
		buffers:  sync.Pool{New: func() any { return new(tcpcp.Buffers) }},
	}, nil
}

// Freeze implements TCP.
func (k *Kernel) Freeze(fd int, divert func() error) (Frozen, error) {
	f, err := tcpcp.FreezeWith(fd, divert)
	if err != nil {
		return nil, err
	}
	return kernelFrozen{f, k}, nil
}

// Insert implements TCP.
func (*Kernel) Insert(endpoint []byte) (Inserted, error) {
	e, err := tcpcp.Parse(endpoint)
	if err != nil {
		return nil, err
	}
	i, err := tcpcp.Insert(e)
	if err != nil {
		return nil, err
	}
	return kernelInserted{i}, nil
}

// kernelInserted lets kept packets come when they can be received.
type kernelInserted struct{ *tcpcp.Inserted }

// Activate implements Inserted.
func (i kernelInserted) Activate(open func() error) (int, error) { return i.ActivateAfter(open) }

// Guard implements TCP.
func (*Kernel) Guard(fd int) (Guard, error) {
	another, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("handoff: another descriptor of a connection: %w", err)
	}
	return kernelGuard(another), nil
}

// kernelGuard is a descriptor.
type kernelGuard int

// Sever implements Guard.
func (g kernelGuard) Sever() error { return tcpcp.Sever(int(g)) }

// Close implements Guard.
func (g kernelGuard) Close() error { return unix.Close(int(g)) }

// Bury implements TCP.
func (k *Kernel) Bury(f Frozen, until time.Time) error {
	frozen := f.(kernelFrozen).Frozen
	err := k.graves.Bury(frozen, until)
	return errors.Join(err, k.openings.watch(frozen.Tuple().Local.Addr()))
}

// Exhume implements TCP.
func (k *Kernel) Exhume(local, remote netip.AddrPort) (Frozen, bool) {
	f, ok := k.graves.Exhume(tcpcp.FourTuple{Local: local, Remote: remote})
	if !ok {
		return nil, false
	}
	return kernelFrozen{f, k}, true
}

// Expire implements TCP.
func (k *Kernel) Expire(now time.Time) (time.Time, error) {
	next, err := k.graves.Expire(now)
	return next, errors.Join(err, k.openings.settle())
}

// kernelFrozen gives the endpoint encoded.
type kernelFrozen struct {
	*tcpcp.Frozen
	k *Kernel
}

// Extract implements Frozen.
func (f kernelFrozen) Extract() ([]byte, error) {
	b := f.k.buffers.Get().(*tcpcp.Buffers)
	defer f.k.buffers.Put(b)
	e, err := f.Frozen.ExtractInto(b)
	if err != nil {
		return nil, err
	}
	// The encoding is a copy: it goes on its way while the buffers serve the next.
	return e.MarshalBinary()
}
