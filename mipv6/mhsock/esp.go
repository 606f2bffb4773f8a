package mhsock

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"github.com/vanycast/vanycast/mipv6/internal/rawsock"
)

// ESP receives ESP packets (RFC 4303) where the kernel does not take them, and
// sends on what was in them. It needs CAP_NET_RAW.
type ESP struct {
	log *slog.Logger
	esp *rawsock.Socket // IPPROTO_ESP
	raw *rawsock.Socket // IPPROTO_RAW, for sending
}

// OpenESP opens the sockets in the network namespace of the calling thread. A
// kernel with ESP of its own still sees every packet, and counts those that are
// for none of its associations.
func OpenESP(logger *slog.Logger) (*ESP, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &ESP{log: logger}
	var err error
	if s.esp, err = rawsock.Open("IPPROTO_ESP", unix.IPPROTO_ESP, setupESP); err != nil {
		return nil, fmt.Errorf("mhsock: %w", err)
	}
	if s.raw, err = rawsock.Open("IPPROTO_RAW", unix.IPPROTO_RAW, setupRaw); err != nil {
		return nil, fmt.Errorf("mhsock: %w", errors.Join(err, s.Close()))
	}
	return s, nil
}

func setupESP(fd int) error {
	// -1: there is no checksum in the packet.
	for option, value := range map[int]int{unix.IPV6_RECVPKTINFO: 1, unix.IPV6_RECVDSTOPTS: 1, unix.IPV6_CHECKSUM: -1} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, option, value); err != nil {
			return os.NewSyscallError(fmt.Sprintf("setsockopt %d", option), err)
		}
	}
	return nil
}

// Receive waits for the next ESP packet, which is Received.Message from its SPI
// on; nothing in it was looked at. Errors as Conn.Receive.
func (s *ESP) Receive(ctx context.Context) (Received, error) {
	var got Received
	err := s.esp.Each(ctx, func(d rawsock.Datagram) bool {
		r, err := received(d)
		if err != nil {
			s.log.Debug("ESP packet dropped", "from", d.From, "err", err)
			return false
		}
		got = r
		return true
	})
	if err != nil {
		return Received{}, fmt.Errorf("mhsock: %w", err)
	}
	return got, nil
}

// Forward sends a whole IPv6 packet, whose source need not be this host's, on
// to dst. As Conn.Send it never waits.
func (s *ESP) Forward(packet []byte, dst netip.Addr) error {
	if err := s.raw.Send(packet, netip.IPv6Unspecified(), dst); err != nil {
		return fmt.Errorf("mhsock: forward %d octets to %v: %w", len(packet), dst, err)
	}
	return nil
}

// Close closes the sockets; whoever waits in Receive gets net.ErrClosed.
func (s *ESP) Close() error {
	var errs []error
	for _, r := range []*rawsock.Socket{s.esp, s.raw} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}
