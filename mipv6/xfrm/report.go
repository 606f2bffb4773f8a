package xfrm

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// reports are the kernel's notices of packets whose Home Address option no
// binding covers.
type reports struct {
	nl     *netlink.Conn
	stamps int // see openReports
	closed atomic.Bool
}

// openReports joins the group. The kernel does not report the same source,
// destination and time twice in a row; while nobody wants times it takes all for
// the same. So a socket that is never read asks for them.
func openReports() (*reports, error) {
	r := &reports{stamps: -1}
	var err error
	if r.nl, err = netlink.Dial(unix.NETLINK_XFRM, &netlink.Config{Groups: 1 << (groupReport - 1)}); err != nil {
		return nil, fmt.Errorf("asking for reports: %w", err)
	}
	r.stamps, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = os.NewSyscallError("setsockopt SO_TIMESTAMP", unix.SetsockoptInt(r.stamps, unix.SOL_SOCKET, unix.SO_TIMESTAMP, 1))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("asking for time stamps: %w", err), r.Close())
	}
	return r, nil
}

// Close ends receiving.
func (r *reports) Close() error {
	r.closed.Store(true)
	err := r.nl.Close()
	if r.stamps >= 0 {
		err = errors.Join(err, unix.Close(r.stamps))
	}
	return err
}

// Events implements dataplane.Plane. The channel is closed by Close.
func (p *Plane) Events() <-chan dataplane.Event { return p.events }

// readReports passes on what the kernel reports until the socket is closed.
func (p *Plane) readReports() {
	defer close(p.events)
	for {
		messages, err := p.reports.nl.Receive()
		if errors.Is(err, unix.ENOBUFS) { // there were more than the socket holds
			p.own.eventsLost.Add(1)
			continue
		}
		if err != nil {
			if !p.reports.closed.Load() {
				p.logger.Error("reading reports of the kernel", "err", err)
			}
			return
		}
		for _, m := range messages {
			e, err := parseReport(m)
			if errors.Is(err, errOtherReport) {
				continue
			}
			if err != nil {
				p.logger.Error("report of the kernel", "err", err)
				continue
			}
			p.own.unknownHome.Add(1)
			select {
			case p.events <- e:
			default:
				p.own.eventsLost.Add(1)
			}
		}
	}
}

var errOtherReport = errors.New("xfrm: not about a Home Address option")

// parseReport reads a struct xfrm_user_report: the protocol of the header, and,
// as a selector, the packet, whose source is the home address already; the
// care-of address is beside it.
func parseReport(m netlink.Message) (dataplane.Event, error) {
	if m.Header.Type != msgReport {
		return dataplane.Event{}, errOtherReport
	}
	b := m.Data
	if len(b) < sizeReport {
		return dataplane.Event{}, fmt.Errorf("%w: report of %d bytes", errShort, len(b))
	}
	if protocol(b[0]) != hao {
		return dataplane.Event{}, errOtherReport
	}
	packet := parseSelector(b[4:])
	e := dataplane.Event{Kind: dataplane.UnknownHomeAddress, Dest: packet.dst.Addr(), Home: packet.src.Addr()}
	attributes, err := netlink.NewAttributeDecoder(b[sizeReport:])
	if err != nil {
		return dataplane.Event{}, fmt.Errorf("xfrm: report: %w", err)
	}
	for attributes.Next() {
		if data := attributes.Bytes(); attributes.Type() == attrCareOf && len(data) == 16 {
			e.Source = get16(data)
		}
	}
	if err := attributes.Err(); err != nil {
		return dataplane.Event{}, fmt.Errorf("xfrm: report: %w", err)
	}
	if e.Source == (netip.Addr{}) {
		return dataplane.Event{}, fmt.Errorf("%w: report without care-of address", errShort)
	}
	return e, nil
}
