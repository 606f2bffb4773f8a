package peer

import "sync/atomic"

// budget is an amount of memory, in bytes, that what is received may hold.
type budget struct{ left atomic.Int64 }

func newBudget(n int) *budget {
	b := new(budget)
	b.left.Store(int64(n))
	return b
}

// take takes n bytes if there are as many.
func (b *budget) take(n int) bool {
	if b.left.Add(-int64(n)) >= 0 {
		return true
	}
	b.left.Add(int64(n))
	return false
}

// release gives n bytes back.
func (b *budget) release(n int) { b.left.Add(int64(n)) }
