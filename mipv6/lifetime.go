package mipv6

import (
	"fmt"
	"time"
)

// TimeUnit is the unit of lifetimes and refresh intervals on the wire
// (RFC 6275 §6.1.7, §6.2.4).
const TimeUnit = 4 * time.Second

// MaxLifetime is the longest lifetime that fits on the wire.
const MaxLifetime = 0xffff * TimeUnit

// timeUnits rounds down, since a binding must never be taken to live longer
// than was meant; but what rounds down to zero is refused: zero is not a short
// lifetime, it is a deregistration.
func timeUnits(d time.Duration) (uint16, error) {
	switch {
	case d < 0 || d > MaxLifetime:
		return 0, fmt.Errorf("duration %v is not between 0 and %v", d, MaxLifetime)
	case d > 0 && d < TimeUnit:
		return 0, fmt.Errorf("duration %v is less than the unit of %v", d, TimeUnit)
	}
	return uint16(d / TimeUnit), nil
}

func unitsTime(u uint16) time.Duration { return time.Duration(u) * TimeUnit }
