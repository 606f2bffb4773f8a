package esp

// windowWords and WindowSize say how far behind the newest packet one may be
// (RFC 4303 §3.4.3: at least 32, 64 by default).
const (
	windowWords = 4
	// WindowSize is in packets.
	WindowSize = windowWords * 64
)

// window is the anti-replay window: bit n%WindowSize says whether number n was
// there, for the WindowSize numbers up to last.
type window struct {
	last uint32
	bits [windowWords]uint64
}

func (w *window) at(n uint32) (word *uint64, bit uint64) {
	return &w.bits[n/64%windowWords], 1 << (n % 64)
}

// fresh tells whether a packet of this number may be looked at further.
// Zero is never sent (RFC 4303 §3.3.3).
func (w *window) fresh(n uint32) bool {
	if n == 0 {
		return false
	}
	if n > w.last {
		return true
	}
	if w.last-n >= WindowSize {
		return false
	}
	word, bit := w.at(n)
	return *word&bit == 0
}

// accept notes a number whose packet passed its integrity check.
func (w *window) accept(n uint32) {
	if n > w.last {
		if n-w.last >= WindowSize {
			w.bits = [windowWords]uint64{}
		} else {
			for i := w.last + 1; i != n; i++ {
				word, bit := w.at(i)
				*word &^= bit
			}
		}
		w.last = n
	}
	word, bit := w.at(n)
	*word |= bit
}
