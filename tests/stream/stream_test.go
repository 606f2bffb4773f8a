package stream

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"

	"pgregory.net/rapid"
)

// Wherever a stream is taken up, it goes on as if it had been read from the
// start.
func TestAnyOffset(t *testing.T) {
	whole := make([]byte, 10_000)
	if _, err := io.ReadFull(New(7, 0), whole); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(whole)-1).Draw(t, "at")
		n := rapid.IntRange(0, len(whole)-at).Draw(t, "n")
		back := rapid.IntRange(0, n).Draw(t, "back")
		s := New(7, int64(at))
		part := make([]byte, n)
		if _, err := io.ReadFull(s, part); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(part, whole[at:at+n]) {
			t.Fatalf("%d bytes from %d differ", n, at)
		}
		s.Back(back)
		if s.Offset() != int64(at+n-back) {
			t.Fatalf("offset %d, want %d", s.Offset(), at+n-back)
		}
		again := make([]byte, back)
		if _, err := io.ReadFull(s, again); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, part[n-back:]) {
			t.Fatalf("%d bytes after going back differ", back)
		}
	})
	if Sum(7, 10_000) != sha256.Sum256(whole) {
		t.Error("Sum is not that of the bytes")
	}
	if Sum(7, 10_000) == Sum(8, 10_000) {
		t.Error("two seeds have the same stream")
	}
}
