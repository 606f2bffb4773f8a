package handoff

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/anycast"
)

// AnycastBinder is a contact address of package anycast as handoffs and the
// framework use it: marks are bytes, and errors are this package's.
type AnycastBinder struct{ *anycast.Address }

var _ Binder = AnycastBinder{}

// Mark implements Binder.
func (b AnycastBinder) Mark(client netip.Addr) ([]byte, error) {
	m, err := b.Address.Mark(client)
	if err != nil {
		return nil, err
	}
	return m.MarshalBinary()
}

// Preview implements Binder.
func (b AnycastBinder) Preview(client netip.Addr) ([]byte, error) {
	return b.Address.Preview(client).MarshalBinary()
}

// Prepare implements Binder.
func (b AnycastBinder) Prepare(ctx context.Context, client netip.Addr, mark []byte) error {
	var m anycast.Mark
	if err := m.UnmarshalBinary(mark); err != nil {
		return fmt.Errorf("%w: %w", ErrUntouched, err)
	}
	return binderError(b.Address.Prepare(ctx, client, m))
}

// Start implements Binder.
func (b AnycastBinder) Start(ctx context.Context, client, donor netip.Addr, mark []byte) error {
	var m anycast.Mark
	if err := m.UnmarshalBinary(mark); err != nil {
		return fmt.Errorf("%w: %w", ErrUntouched, err)
	}
	return binderError(b.Address.Start(ctx, client, donor, m))
}

// Reclaim implements Binder.
func (b AnycastBinder) Reclaim(ctx context.Context, client netip.Addr, mark []byte) error {
	var m anycast.Mark
	if err := m.UnmarshalBinary(mark); err != nil {
		return err
	}
	err := b.Address.Reclaim(ctx, client, m)
	if sequence := new(anycast.SequenceError); errors.As(err, &sequence) {
		return fmt.Errorf("%w: %w", ErrTaken, err)
	}
	return binderError(err)
}

// Bind implements Binder.
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
