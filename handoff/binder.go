package handoff

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/anycast"
)

// AnycastBinder is a contact address of package anycast as the framework uses it:
// errors are this package's.
type AnycastBinder struct{ *anycast.Address }

// Bind optimises the route of a client that is served here.
func (b AnycastBinder) Bind(ctx context.Context, client netip.Addr) error {
	return binderError(b.Address.Bind(ctx, client))
}

// Probe does return routability's home test ahead of time. The error wraps
// ErrNoMobileIPv6 where the client has none.
func (b AnycastBinder) Probe(ctx context.Context, client netip.Addr) error {
	return binderError(b.Address.Probe(ctx, client))
}

// binderError adds what this package and those above look for.
func binderError(err error) error {
	if errors.Is(err, anycast.ErrNoMobileIPv6) {
		err = fmt.Errorf("%w: %w", ErrNoMobileIPv6, err)
	}
	if errors.Is(err, anycast.ErrUntouched) {
		return fmt.Errorf("%w: %w", ErrUntouched, err)
	}
	return err
}
