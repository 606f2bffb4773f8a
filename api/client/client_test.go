package client

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// daemon serves a handler on a UNIX socket.
func daemon(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "api.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); srv.Serve(ln) }()
	c := New(path)
	t.Cleanup(func() { c.Close(); srv.Close(); <-done })
	return c
}

func answer(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		w.Write([]byte(body))
	}
}

func TestGet(t *testing.T) {
	c := daemon(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/v1/status" {
			t.Errorf("%s %s", r.Method, r.URL.Path)
		}
		w.Write([]byte(`{"name":"glass"}`))
	})
	var v struct{ Name string }
	if err := c.Get(t.Context(), "/v1/status", &v); err != nil || v.Name != "glass" {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name string
		h    http.HandlerFunc
		want string
	}{
		{"with reason", answer(404, `{"error":"no such service"}`), "/v1/x: no such service"},
		{"without", answer(500, `oops`), "/v1/x: 500 Internal Server Error"},
		{"not JSON", answer(200, `oops`), "/v1/x: answer is not JSON"},
		{"another type", answer(200, `[1]`), "/v1/x: json: cannot unmarshal array"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var v struct{ Name string }
			err := daemon(t, tc.h).Get(t.Context(), "/v1/x", &v)
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want %s", err, tc.want)
			}
		})
	}
	err := daemon(t, answer(403, `{}`)).Get(t.Context(), "/v1/x", nil)
	var refusal *StatusError
	if !errors.As(err, &refusal) || refusal.Code != 403 {
		t.Errorf("got %v", err)
	}
}

func TestNoDaemon(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.sock")
	_, err := New(path).Raw(t.Context(), "/v1/status")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
	want := "daemon not reached: " + path + ": connect: no such file or directory (is vanycastd running?)"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestFollow(t *testing.T) {
	c := daemon(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("{\"n\":1}\n{\"n\":2}\n"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var got []string
	err := c.Follow(ctx, "/v1/events", func(v json.RawMessage) error {
		if got = append(got, string(v)); len(got) == 2 {
			stop()
		}
		return nil
	})
	if err != nil || strings.Join(got, " ") != `{"n":1} {"n":2}` {
		t.Errorf("%q, %v", got, err)
	}
}

func TestFollowEnds(t *testing.T) {
	for body, want := range map[string]string{
		"{}\n":   "/v1/events: the daemon ended the stream",
		"{}\n{x": "/v1/events: invalid character",
	} {
		n := 0
		err := daemon(t, answer(200, body)).Follow(t.Context(), "/v1/events", func(json.RawMessage) error { n++; return nil })
		if n != 1 || err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %d values, %v", body, n, err)
		}
	}
	stop := errors.New("enough")
	err := daemon(t, answer(200, "{}{}")).Follow(t.Context(), "/v1/events", func(json.RawMessage) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}
