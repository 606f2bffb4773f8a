// Package client speaks the control half of the local API: HTTP and JSON over
// the daemon's UNIX socket. vanyctl is made of it, and servers that want to know
// more of their host than vanycast.Listen tells use it. It needs no privilege
// but to be let in by the socket.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/vanycast/vanycast/api/wire"
)

const (
	dialTimeout = 5 * time.Second
	getTimeout  = 30 * time.Second
	maxAnswer   = 64 << 20 // bytes
	maxReason   = 4 << 10  // bytes of a refusal that are read
)

// Client is one daemon's local API.
type Client struct {
	socket string
	http   *http.Client
}

// New makes a client of the daemon that listens on the socket; nothing is sent
// yet. An empty path means wire.SocketPath().
func New(socket string) *Client {
	if socket == "" {
		socket = wire.SocketPath()
	}
	d := net.Dialer{Timeout: dialTimeout}
	return &Client{
		socket: socket,
		http: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return d.DialContext(ctx, "unix", socket)
			},
			ResponseHeaderTimeout: getTimeout,
		}},
	}
}

// Close gives idle connections back.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// StatusError is the daemon's refusal of a request.
type StatusError struct {
	Path string
	Code int    // HTTP status
	Text string // the daemon's reason, may be empty
}

func (e *StatusError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%s: %d %s", e.Path, e.Code, http.StatusText(e.Code))
	}
	return fmt.Sprintf("%s: %s", e.Path, e.Text)
}

// Raw asks for a path, such as wire.PathStatus, and returns the JSON of the
// answer as the daemon wrote it.
func (c *Client) Raw(ctx context.Context, path string) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	body, err := c.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	return read(path, body)
}

// Post sends a value, and decodes the answer into v.
func (c *Client) Post(ctx context.Context, path string, value, v any) error {
	b, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	body, err := c.open(ctx, http.MethodPost, path, bytes.NewReader(b))
	if err != nil {
		return err
	}
	answer, err := read(path, body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(answer, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// read takes a whole answer, which is JSON.
func read(path string, body io.ReadCloser) (json.RawMessage, error) {
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case len(b) > maxAnswer:
		return nil, fmt.Errorf("%s: answer is longer than %d bytes", path, maxAnswer)
	case !json.Valid(b):
		return nil, fmt.Errorf("%s: answer is not JSON", path)
	}
	return b, nil
}

// Get is Raw with the answer decoded into v.
func (c *Client) Get(ctx context.Context, path string, v any) error {
	b, err := c.Raw(ctx, path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Follow calls yield with each JSON value of a stream, such as wire.PathEvents,
// until ctx ends (then nil), yield gives an error (then that) or the daemon ends
// the stream.
func (c *Client) Follow(ctx context.Context, path string, yield func(json.RawMessage) error) error {
	body, err := c.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer body.Close()
	values := json.NewDecoder(body)
	for {
		var v json.RawMessage
		err := values.Decode(&v)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return fmt.Errorf("%s: the daemon ended the stream", path)
		case err != nil:
			return fmt.Errorf("%s: %w", path, err)
		}
		if err := yield(v); err != nil {
			return err
		}
	}
}

// open sends a request and checks the status of the answer.
func (c *Client) open(ctx context.Context, method, path string, content io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://vanycast"+path, content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c.do(req, path)
}

// HandoffClient has the daemon hand all connections of a client off to a replica,
// and says what became of each.
func (c *Client) HandoffClient(ctx context.Context, r wire.HandoffRequest) ([]wire.ClientHandoff, error) {
	const path = wire.PathHandoff
	b, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://vanycast"+path, bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	body, err := c.do(req, path)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var all []wire.ClientHandoff
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(&all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

func (c *Client) do(req *http.Request, path string) (io.ReadCloser, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreached(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	refusal := &StatusError{Path: path, Code: resp.StatusCode}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReason))
	var reason wire.Error
	if err == nil && json.Unmarshal(b, &reason) == nil {
		refusal.Text = strings.TrimSpace(reason.Error)
	}
	return nil, refusal
}

// unreached says what an operator can do about it.
func (c *Client) unreached(err error) error {
	var op *net.OpError
	if !errors.As(err, &op) {
		return fmt.Errorf("%s: %w", c.socket, err)
	}
	hint := ""
	switch {
	case errors.Is(err, os.ErrNotExist):
		hint = " (is vanycastd running?)"
	case errors.Is(err, os.ErrPermission):
		hint = " (not in the group of [api] group?)"
	}
	return fmt.Errorf("daemon not reached: %s: %w%s", c.socket, op.Err, hint)
}
