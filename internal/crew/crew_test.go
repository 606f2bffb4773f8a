package crew

import (
	"sync"
	"testing"
	"testing/synctest"
)

// Whatever the number of tasks at once, all of them run, and no more goroutines
// stay than were asked for; after Close none.
func TestAllRunAndFewStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, tasks = 3, 20
		c := New(most)
		var wg sync.WaitGroup
		gate := make(chan struct{})
		for range 2 {
			for range tasks {
				wg.Add(1)
				c.Go(func() { defer wg.Done(); <-gate })
			}
			synctest.Wait()
			if n := c.idle.Load(); n != 0 {
				t.Errorf("%d wait for work while there is more", n)
			}
			for range tasks {
				gate <- struct{}{}
			}
			wg.Wait()
			synctest.Wait()
			if n := c.idle.Load(); n != most {
				t.Errorf("%d goroutines stayed, want %d", n, most)
			}
		}
		c.Close()
		c.Close()
		synctest.Wait()
		if n := c.idle.Load(); n != 0 {
			t.Errorf("%d goroutines are left", n)
		}
		wg.Add(1)
		c.Go(wg.Done) // after Close too
		wg.Wait()
	})
}

// A goroutine that waits is used again.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(1)
		defer c.Close()
		c.Go(func() {})
		synctest.Wait()
		if allocs := testing.AllocsPerRun(100, func() {
			c.Go(nothing)
			synctest.Wait()
		}); allocs > 0 {
			t.Errorf("%v allocations for a task", allocs)
		}
	})
}

func nothing() {}
