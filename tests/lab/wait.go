package lab

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// WaitFor asks cond again and again until it returns nil, or until ctx ends:
// then the error is ctx's, with cond's last answer. It is what tests of real
// processes have instead of sleeping.
func WaitFor(ctx context.Context, cond func() error) error {
	pause := time.Millisecond
	for {
		err := cond()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); cause != err {
				err = errors.Join(cause, err)
			}
			return fmt.Errorf("lab: waited in vain: %w", err)
		case <-time.After(pause):
		}
		pause = min(2*pause, 50*time.Millisecond)
	}
}
