package handoff

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/vanycast/vanycast/anycast"
)

// ConnectionBinder is a connection of package anycast as handoffs use it: marks
// are bytes, and errors are this package's.
type ConnectionBinder struct{ *anycast.Connection }

var _ Binder = ConnectionBinder{}

// Alone implements Binder.
func (b ConnectionBinder) Alone() bool { return b.Settle() }

// Begin implements Binder.
func (b ConnectionBinder) Begin(ctx context.Context) error {
	err := b.Connection.Begin(ctx)
	if errors.Is(err, anycast.ErrBusy) {
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

// Immobile implements Binder.
func (b ConnectionBinder) Immobile() bool { return b.IsImmobile() }

// Ready implements Binder.
func (b ConnectionBinder) Ready(netip.Addr) time.Time { return b.Connection.Ready() }

// Mark implements Binder.
func (b ConnectionBinder) Mark(netip.Addr) ([]byte, error) {
	m, err := b.Connection.Mark()
	if err != nil {
		return nil, err
	}
	return m.MarshalBinary()
}

// Preview implements Binder.
func (b ConnectionBinder) Preview(netip.Addr) ([]byte, error) {
	return b.Connection.Preview().MarshalBinary()
}

// Prepare implements Binder.
func (b ConnectionBinder) Prepare(ctx context.Context, _ netip.Addr, mark []byte) error {
	m, err := parseMark(mark)
	if err != nil {
		return err
	}
	return binderError(b.Connection.Prepare(ctx, m))
}

// Start implements Binder.
func (b ConnectionBinder) Start(ctx context.Context, _, donor netip.Addr, mark []byte) error {
	m, err := parseMark(mark)
	if err != nil {
		return err
	}
	err = b.Connection.Start(ctx, donor, m)
	if sequence := new(anycast.SequenceError); errors.As(err, &sequence) {
		err = fmt.Errorf("%w: %w", ErrTaken, err)
	}
	return binderError(err)
}

// CanSpeak implements Binder.
func (b ConnectionBinder) CanSpeak(mark []byte) bool {
	m, err := parseMark(mark)
	return err == nil && b.Connection.CanSpeak(m)
}

// Finish implements Binder.
func (b ConnectionBinder) Finish(netip.Addr) { b.Connection.Finish() }

// Reclaim implements Binder.
func (b ConnectionBinder) Reclaim(ctx context.Context, _ netip.Addr, mark []byte) error {
	m, err := parseMark(mark)
	if err != nil {
		return err
	}
	err = b.Connection.Reclaim(ctx, m)
	if sequence := new(anycast.SequenceError); errors.As(err, &sequence) {
		return fmt.Errorf("%w: %w", ErrTaken, err)
	}
	return binderError(err)
}

// Bind implements Binder.
func (b ConnectionBinder) Bind(ctx context.Context, _ netip.Addr) error {
	return binderError(b.Connection.Bind(ctx))
}

// Hold implements Binder.
func (b ConnectionBinder) Hold(netip.Addr) error { return b.Connection.Hold() }

// Unhold implements Binder.
func (b ConnectionBinder) Unhold(netip.Addr) error { return b.Connection.Unhold() }

func parseMark(b []byte) (m anycast.Mark, err error) {
	if err := m.UnmarshalBinary(b); err != nil {
		return m, fmt.Errorf("%w: %w", ErrUntouched, err)
	}
	return m, nil
}
