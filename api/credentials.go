package api

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// connKey is the context key of a request's connection.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c.(*limitedConn))
}

func connOf(r *http.Request) *limitedConn { return r.Context().Value(connKey{}).(*limitedConn) }

// checkPeer says why who connected may not use the API.
func (s *Server) checkPeer(c *net.UnixConn) error {
	cred, err := peerCredentials(c)
	if err != nil {
		return err
	}
	return permit(cred, os.Getuid(), s.gid, groupsOf)
}

// peerCredentials are those of the process that connected.
func peerCredentials(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) {
		cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return nil, err
	}
	if cerr != nil {
		return nil, os.NewSyscallError("SO_PEERCRED", cerr)
	}
	return cred, nil
}

// permit decides. groups gives a user's groups; it is asked only if needed.
func permit(cred *unix.Ucred, self, gid int, groups func(uid uint32) ([]string, error)) error {
	if cred.Uid == 0 || int(cred.Uid) == self || gid >= 0 && int(cred.Gid) == gid {
		return nil
	}
	if gid < 0 {
		return fmt.Errorf("user %d may not use this socket", cred.Uid)
	}
	ids, err := groups(cred.Uid)
	if err != nil {
		return fmt.Errorf("user %d: %w", cred.Uid, err)
	}
	if !slices.Contains(ids, strconv.Itoa(gid)) {
		return fmt.Errorf("user %d is not in group %d", cred.Uid, gid)
	}
	return nil
}

// groupsOf lists a user's groups, supplementary ones too.
func groupsOf(uid uint32) ([]string, error) {
	u, err := user.LookupId(strconv.FormatUint(uint64(uid), 10))
	if err != nil {
		return nil, err
	}
	return u.GroupIds()
}
