package bindings

// After reports whether sequence number s counts as greater than last, modulo
// 2^16 (RFC 6275 §9.5.1): s is not greater if it lies in the range of last and
// the preceding 32768 values, inclusive.
func After(s, last uint16) bool { return int16(s-last) > 0 }
