package vanycast

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDescribe(t *testing.T) {
	for _, tc := range []struct {
		name string
		code int
		body string
		want Host
		err  string
	}{
		{
			"replica", 200, `{"name":"glass","interface":"eth0","care_of":"2001:db8:1::10","services":[{"name":"echo"},{"name":"web"}],"new":1}`,
			Host{"glass", "eth0", netip.MustParseAddr("2001:db8:1::10"), []string{"echo", "web"}}, "",
		},
		{"home agent", 200, `{"name":"ha","interface":"eth0"}`, Host{Name: "ha", Interface: "eth0"}, ""},
		{"refused", 403, `{"error":"uid 1000 is not in group vanycast"}`, Host{}, "refused (403): uid 1000 is not in group vanycast"},
		{"refused without words", 500, `oops`, Host{}, "refused: 500 Internal Server Error"},
		{"nonsense", 200, `[]`, Host{}, "answer: json: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "s")
			ln, err := net.Listen("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != "/v1/status" {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				w.WriteHeader(tc.code)
				io.WriteString(w, tc.body)
			})}
			done := make(chan struct{})
			go func() { defer close(done); srv.Serve(ln) }()
			defer func() { srv.Close(); <-done }()
			got, err := Describe(t.Context(), WithSocket(socket))
			if (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("got %v, want %s", err, tc.err)
			}
			if d := cmp.Diff(tc.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestDescribeWithoutDaemon(t *testing.T) {
	_, err := Describe(context.Background(), WithSocket(filepath.Join(t.TempDir(), "none")))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
