package main

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/vanycast/vanycast/anycast"
)

func TestTolerate(t *testing.T) {
	d := &host{log: slog.New(slog.DiscardHandler)}
	left, trace := &anycast.LeftError{Err: anycast.ErrNoHomeTest}, errors.New("route not removed")
	for _, tc := range []struct {
		name string
		err  error
		want error
	}{
		{"nothing", nil, nil},
		{"what others hold", errors.Join(errors.Join(left, nil), left), nil},
		{"what is left on the host", errors.Join(errors.Join(left, trace), left), trace},
		{"another error alone", trace, trace},
	} {
		if got := d.tolerate(tc.err); !errors.Is(got, tc.want) || errors.Is(got, anycast.ErrNoHomeTest) {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
}
