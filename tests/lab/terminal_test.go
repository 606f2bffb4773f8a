package lab

import (
	"bytes"
	"context"
	"regexp"
	"testing"
	"time"
)

func TestTerminal(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var screen bytes.Buffer
	term, err := New(t).Host("h").Terminal(&screen, "sh", "-c", `tty >/dev/null && echo terminal; read line; echo "<$line>"; exit 3`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := term.Expect(ctx, regexp.MustCompile(`term\w+`)); err != nil {
		t.Fatal(err)
	}
	if err := term.Send("hello"); err != nil {
		t.Fatal(err)
	}
	got, err := term.Expect(ctx, regexp.MustCompile(`<(.*)>`))
	if err != nil || got[1] != "hello" {
		t.Errorf("Expect() = %q, %v", got, err)
	}
	if _, err := term.Expect(ctx, regexp.MustCompile(`never`)); err == nil || ctx.Err() != nil {
		t.Errorf("Expect() after the end = %v, %v", err, ctx.Err())
	}
	if err := term.Wait(ctx); err == nil {
		t.Error("Wait() = nil for a program that failed")
	}
	if want := "terminal\nhello\n<hello>\n"; term.Text() != want {
		t.Errorf("on the terminal: %q, want %q", term.Text(), want)
	}
	if err := term.Close(); err != nil {
		t.Error(err)
	}
}
