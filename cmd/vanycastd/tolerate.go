package main

import (
	"errors"

	"github.com/vanycast/vanycast/anycast"
)

// tolerate logs what others still hold for this host and did not take back, be it
// that they ended before us, and returns what is left of the errors: an orderly end
// does not fail for it.
func (d *host) tolerate(err error) error {
	switch e := err.(type) {
	case *anycast.LeftError:
		d.log.Warn("a binding expires by itself", "err", e)
		return nil
	case interface{ Unwrap() []error }: // joined
		var rest []error
		for _, part := range e.Unwrap() {
			rest = append(rest, d.tolerate(part))
		}
		return errors.Join(rest...)
	}
	return err
}
