package uml

import (
	"bytes"
	"testing"
)

// What the command prints arrives whole, however it is cut, and nothing else does.
func TestBetween(t *testing.T) {
	const inside = "one\r\n--- PASS: TestA\n-- two -\n\n--- uml: the command\nno newline at the end"
	all := "kernel words\n" + commandBegins + "\r\n" + inside + "\n" + commandEnds + "\nreboot: System halted\n"
	for size := 1; size < len(all); size++ {
		var got bytes.Buffer
		b := &between{to: &got}
		for rest := []byte(all); len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := b.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if got.String() != inside+"\n" {
			t.Fatalf("in pieces of %d: %q, want %q", size, got.String(), inside+"\n")
		}
	}
}
