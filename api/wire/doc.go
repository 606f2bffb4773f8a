// Package wire is the local API's messages: what the daemon shows over HTTP as
// JSON, and the frames of a session, in which an application gets clients as
// file descriptors and gives them back.
//
// The API is HTTP/1.1 on a UNIX stream socket:
//
//	GET  /v1/status                    Status
//	GET  /v1/replicas                  []Replica
//	GET  /v1/clients                   []Client
//	GET  /v1/bindings                  []Binding
//	GET  /v1/handoffs                  []Handoff, oldest first
//	GET  /v1/events                    Event after Event, one a line, as they happen
//	POST /v1/handoff                   HandoffRequest; []ClientHandoff
//	POST /v1/services/{name}/listen    ListenRequest; a session, see below
//
// Anything else than 200 and 101 carries an Error. A session begins with
//
//	POST /v1/services/echo/listen HTTP/1.1
//	Connection: Upgrade
//	Upgrade: vanycast/1
//
// and 101 Switching Protocols. The application speaks first. From then on both
// sides send frames:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|               length of the message, big endian               |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|           length of the application state, big endian         |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|               message: JSON, see Message                      |
//	|               application state: bytes                        |
//
// A descriptor travels as SCM_RIGHTS ancillary data of a frame's first byte, one
// at most. The daemon keeps a descriptor of each client too: it closes the
// connection when the application says so with a Close message, or when the
// session ends without one, in order and without a reset. An application that
// asks for a handoff closes its descriptor before; it gets a new one if the
// handoff fails.
package wire

import (
	"os"
	"time"
)

// Where the API is.
const (
	// DefaultSocket is the socket if nothing else is configured.
	DefaultSocket = "/run/vanycast/api.sock"
	// EnvSocket is the environment variable that names another.
	EnvSocket = "VANYCAST_SOCKET"
	// Protocol is the session's name and version in the Upgrade header.
	Protocol = "vanycast/1"
)

// Paths of the resources.
const (
	PathStatus   = "/v1/status"
	PathReplicas = "/v1/replicas"
	PathClients  = "/v1/clients"
	PathBindings = "/v1/bindings"
	PathHandoffs = "/v1/handoffs"
	PathEvents   = "/v1/events"
	PathHandoff  = "/v1/handoff"

	// Those of keys are for the daemon's own user and root only.
	PathKeys       = "/v1/keys"
	PathKeysRoll   = "/v1/keys/roll"
	PathKeysLoad   = "/v1/keys/load"
	PathKeysRevoke = "/v1/keys/revoke"
)

// HeaderContact carries the contact address and port in the answer to a listen
// request.
const HeaderContact = "Vanycast-Contact"

// Bounds.
const (
	// MaxState is the longest application state, in bytes.
	MaxState = 1 << 20
	// MaxMessage is the longest message of a frame, in bytes.
	MaxMessage = 16 << 10
	// MaxBody is the longest body of a request, in bytes.
	MaxBody = 4 << 10
	// MaxKeys is the longest body of a request to load keys, in bytes.
	MaxKeys = 1 << 20
	// MaxCredits is how many clients a session may wait for at one time.
	MaxCredits = 1024
	// SendTimeout is how long a side may leave a frame unread.
	SendTimeout = 10 * time.Second
)

// ListenPath is the resource that a session with a service begins at.
func ListenPath(service string) string { return "/v1/services/" + service + "/listen" }

// SocketPath is the API's socket: the environment's or the default.
func SocketPath() string {
	if s := os.Getenv(EnvSocket); s != "" {
		return s
	}
	return DefaultSocket
}
