package conformance

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/vanycast/vanycast/tests/lab"
)

// recording is a capture, and what is wanted of it. It is judged when the test ends,
// all at once: tshark needs a third of a second to begin.
type recording struct {
	*lab.Capture
	where string
	wants []wanted
}

type wanted struct {
	filter string
	ok     func(n int) bool
	by     string
}

// capture records what one interface sees during f. When the test ends it is
// judged: no malformed packet, no bad checksum, no reset, and what count wants.
func capture(t *testing.T, h *lab.Host, iface string, f func()) *recording {
	t.Helper()
	c, err := h.Capture(iface)
	if err != nil {
		t.Fatal(err)
	}
	f()
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	r := &recording{Capture: c, where: h.Name() + " " + iface}
	t.Cleanup(func() { r.judge(t) })
	return r
}

// count wants the number of frames that match a display filter to be such that
// ok says so.
func count(t *testing.T, r *recording, filter string, ok func(n int) bool) {
	t.Helper()
	w := wanted{filter: filter, ok: ok}
	if _, file, line, found := runtime.Caller(1); found {
		w.by = fmt.Sprintf("%s:%d: ", filepath.Base(file), line)
	}
	r.wants = append(r.wants, w)
}

func (r *recording) judge(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	var filters []string
	for _, w := range r.wants {
		filters = append(filters, w.filter)
	}
	counts, problems, err := r.Judge(ctx, filters...)
	if err != nil {
		t.Error(err)
		return
	}
	for _, p := range problems {
		t.Errorf("%s: %s", r.where, p)
	}
	for i, w := range r.wants {
		if w.ok(counts[i]) {
			continue
		}
		frames, err := r.Frames(ctx, w.filter)
		t.Errorf("%s%s: %d frames match %q: %q, %v", w.by, r.where, counts[i], w.filter, frames[:min(len(frames), 10)], err)
	}
}
