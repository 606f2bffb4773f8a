package tcbpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// keeper keeps packets of flows that are held or paused, and SYNs whose replica is
// not decided yet. The programs send them to a TUN interface whose other end this
// process has; what is written there comes in again, and a program at its ingress
// lets it be delivered here, or sends it to the peer that the flow is relayed to, or
// on for that peer.
// The interface, its filters and what it holds end with the process.
//
// A flow that keeps gets its new route in two steps: first the programs know it
// but still send here what comes; then all that was kept goes back; then they stop
// sending it here. So nothing is lost, and nothing overtakes but what comes in the
// instant of the last step.
//
// Methods of a nil keeper do nothing: nothing is kept.
type keeper struct {
	logger   *slog.Logger
	tun      *os.File
	index    int
	raw      syscall.RawConn
	steering *ebpf.Memory
	emit     func(dataplane.Event) bool
	// eventRoom is how many events would be heard: a flood of SYNs that nobody hears
	// of must not cost us more than the kernel.
	eventRoom func() int
	closing   atomic.Bool

	mu      sync.Mutex
	kept    *kept
	buffer  []byte
	written uint64 // packets that went back
	local   uint64 // SYNs that were delivered here undecided
}

const (
	// ringSize is how many packets may wait for this process in the interface.
	// A fast sender's window fits.
	ringSize = 8192
	// undecidedRounds is for how many seconds a SYN waits.
	undecidedRounds = 4
)

// openTUN makes the interface, in the namespace of the calling thread.
func openTUN() (tun *os.File, name string, err error) {
	const device = "/dev/net/tun"
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", fmt.Errorf("opening %s: %w", device, dataplane.Explain(err, "CONFIG_TUN"))
	}
	request, err := unix.NewIfreq("vanykept%d")
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err == nil {
		// Superpackets and unfinished checksums come as they are.
		const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads)
	}
	if err != nil {
		return nil, "", errors.Join(fmt.Errorf("making a TUN interface: %w", err), unix.Close(fd))
	}
	// Only now, for a TUN that is no interface yet cannot be polled.
	return os.NewFile(uintptr(fd), device), request.Name(), nil
}

// start puts the programs at the interface and takes it up; packets may come.
func (k *keeper) start(nl *netlink.Handle, link netlink.Link, fds map[string]int) error {
	raw, err := k.tun.SyscallConn()
	if err != nil {
		return fmt.Errorf("the keeper's TUN: %w", err)
	}
	k.raw = raw
	direct := &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		QdiscType:  "noqueue", // the ring is the queue
	}
	const addressesNone = 1 // IN6_ADDR_GEN_MODE_NONE: no link-local address, nobody to speak to
	for _, step := range []struct {
		what string
		err  error
	}{
		{"length of its queue", nl.LinkSetTxQLen(link, ringSize)},
		{"MTU", nl.LinkSetMTU(link, maxPacket)},
		{"no addresses", nl.LinkSetIP6AddrGenMode(link, addressesNone)},
		{"qdisc noqueue", nl.QdiscReplace(direct)},
		{"filters", attach(nl, link, fds)},
		{"up", nl.LinkSetUp(link)},
	} {
		if step.err != nil {
			return fmt.Errorf("the keeper's TUN interface: %s: %w", step.what, step.err)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.allow()
	return nil
}

// maxPacket is the longest that a TUN interface takes.
const maxPacket = 65535

// run reads until the interface is closed.
func (k *keeper) run() {
	err := k.raw.Read(func(fd uintptr) bool {
		for {
			k.mu.Lock()
			more, err := k.pump(int(fd))
			k.mu.Unlock()
			if err != nil {
				k.logger.Error("reading what is to be kept", "error", err)
				return true
			}
			if !more {
				return false
			}
		}
	})
	if err != nil && !k.closing.Load() {
		k.logger.Error("waiting for what is to be kept", "error", err)
	}
}

// pump takes in what waits in the interface, at most a ring of it at a time.
func (k *keeper) pump(fd int) (more bool, err error) {
	defer k.allow()
	for range ringSize {
		n, err := unix.Read(fd, k.buffer)
		switch {
		case err == nil:
			k.take(fd, k.buffer[:n])
		case errors.Is(err, unix.EAGAIN):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
	return true, nil
}

// take puts a packet where it belongs; one whose flow is not kept any more goes
// straight back.
func (k *keeper) take(fd int, b []byte) {
	if len(b) < offloadLength {
		return
	}
	q, ok := k.kept.findPacket(b[offloadLength:])
	if !ok {
		k.kept.dropped++
		return
	}
	if q != nil {
		k.kept.add(q, b)
		return
	}
	if syn, f, source, destination, ok := steeredSYN(b); ok {
		k.decide(fd, syn, f, source, destination)
		return
	}
	k.write(fd, b)
}

// decide keeps a SYN and asks for a decision; where nobody hears, it is
// delivered here.
func (k *keeper) decide(fd int, syn []byte, f dataplane.Flow, source, destination netip.Addr) {
	if q := k.kept.find(coming(f)); q != nil {
		if q.undecided && q.packets > 0 { // sent again: once is enough
			k.kept.dropped++
			return
		}
		k.kept.add(q, syn)
		return
	}
	if k.kept.wait(f) {
		q := k.kept.queues[coming(f)]
		k.kept.add(q, syn)
		if k.emit(dataplane.Event{Kind: dataplane.NewConnection, Source: source, Dest: destination, Home: f.Home, Flow: f}) {
			return
		}
		k.kept.pop(q)
		k.kept.end(q)
	}
	k.local++
	k.write(fd, syn)
}

// write lets a packet come in again.
func (k *keeper) write(fd int, b []byte) {
	if _, err := unix.Write(fd, b); err != nil {
		k.kept.dropped++
		k.logger.Debug("what was kept is lost", "bytes", len(b), "error", err)
		return
	}
	k.written++
}

// allow tells the program how many SYNs it may send for a decision. What was
// taken and is not here was lost on the way, or is on it.
func (k *keeper) allow() {
	var b [8]byte
	if _, err := k.steering.ReadAt(b[:], 0); err != nil {
		k.logger.Error("reading the steering", "error", err)
		return
	}
	room := max(0, min(k.kept.limits.Undecided-k.kept.undecided, k.eventRoom()))
	binary.NativeEndian.PutUint64(b[:], binary.NativeEndian.Uint64(b[:])+uint64(room))
	if _, err := k.steering.WriteAt(b[:], 8); err != nil {
		k.logger.Error("writing the steering", "error", err)
	}
}

// keeping is what the keeper has of a flow, or would.
type keeping struct {
	coming    bool
	undecided bool // that is a SYN that waits for a decision
	sent      bool
}

func (k *keeper) has(f dataplane.Flow) (has keeping) {
	if k == nil {
		return has
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	q, ok := k.kept.queues[coming(f)]
	has.coming, has.undecided = ok, ok && q.undecided
	_, has.sent = k.kept.queues[sent(f)]
	return has
}

// hold begins to keep a stream.
func (k *keeper) hold(s stream) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept.hold(s)
}

// discard gives up what is kept of a stream.
func (k *keeper) discard(s stream) error {
	return k.giveUp(func() {
		if q, ok := k.kept.queues[s]; ok {
			k.kept.end(q)
		}
	})
}

// discardAll gives up what is kept of a contact address.
func (k *keeper) discardAll(home netip.Addr) error {
	if k == nil {
		return nil
	}
	return k.giveUp(func() { k.kept.endAll(home) })
}

// giveUp takes in what still waits in the interface (the programs send no more)
// before queues are ended.
func (k *keeper) giveUp(end func()) (err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	controlled := k.raw.Control(func(fd uintptr) { _, err = k.pump(int(fd)) })
	end()
	k.allow()
	return errors.Join(controlled, err)
}

// release lets go, in its order, what is kept of a stream whose flow's route says
// where; finish then ends that the programs send more here.
func (k *keeper) release(s stream, finish func() error) (err error) {
	return k.letGo(s, func(fd int, q *queue) error {
		const rounds = 8 // a sender may be faster than we are
		for range rounds {
			if _, err := k.pump(fd); err != nil || q.packets == 0 {
				break
			}
			for _, b := range inSequence(k.kept.popAll(q)) {
				k.write(fd, b)
			}
		}
		return finish()
	}, k.write)
}

// settle lets go a SYN that was decided: its route is there, and the programs send
// no more of its flow here. That needs fewer steps than release, for nothing comes
// behind a SYN before it is answered.
func (k *keeper) settle(f dataplane.Flow) (err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	q, ok := k.kept.queues[coming(f)]
	if !ok {
		return nil // given up meanwhile
	}
	controlled := k.raw.Control(func(fd uintptr) {
		_, err = k.pump(int(fd)) // one that was sent again is no new connection
		rest := k.kept.popAll(q)
		k.kept.end(q)
		for _, b := range rest {
			k.write(int(fd), b)
		}
		k.allow()
	})
	return errors.Join(controlled, err)
}

// abandon lets go what came and is kept of a flow that has no route of its own any
// more: another flow may keep it. What was sent in it is given up.
func (k *keeper) abandon(f dataplane.Flow) error {
	var err error
	if k.has(f).sent {
		err = k.discard(sent(f))
	}
	nothing := func(int, *queue) error { return nil }
	return errors.Join(err, k.letGo(coming(f), nothing, func(fd int, b []byte) {
		if other := k.kept.find(coming(f)); other != nil {
			k.kept.add(other, b)
		} else {
			k.write(fd, b)
		}
	}))
}

// letGo ends the queue of a stream, if there is one, after prepare has had its turn;
// each packet that is left gets one.
func (k *keeper) letGo(s stream, prepare func(fd int, q *queue) error, one func(fd int, b []byte)) (err error) {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	q, ok := k.kept.queues[s]
	if !ok {
		return nil
	}
	controlled := k.raw.Control(func(fd uintptr) {
		err = prepare(int(fd), q)
		_, pumped := k.pump(int(fd))
		err = errors.Join(err, pumped)
		rest := k.kept.popAll(q)
		k.kept.end(q)
		for _, b := range rest {
			one(int(fd), b)
		}
		k.allow()
	})
	return errors.Join(controlled, err)
}

// tick is called every second.
func (k *keeper) tick() {
	if k == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept.expire(undecidedRounds)
	k.allow()
}

// counters are what the keeper has done.
func (k *keeper) counters() (written, dropped, local uint64) {
	if k == nil {
		return 0, 0, 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.written, k.kept.dropped, k.local
}

// Close ends the interface.
func (k *keeper) Close() error {
	k.closing.Store(true)
	return k.tun.Close()
}
