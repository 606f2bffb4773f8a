package cluster

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/vanycast/vanycast/tests/lab"
)

// StartServer starts a server program on a host as an unprivileged user: the
// library finds the host's daemon through VANYCAST_SOCKET.
func (c *Cluster) StartServer(host, program string, args ...string) (*lab.Process, error) {
	path, err := c.publish(program)
	if err != nil {
		return nil, err
	}
	opts := []lab.StartOption{
		lab.As(serverUser, serverUser),
		lab.Env("VANYCAST_SOCKET=" + c.Socket(host)),
		lab.LogName(fmt.Sprintf("%s-%s.log", host, filepath.Base(program))),
		lab.WorkDir("/"),
	}
	if c.leave {
		opts = append(opts, lab.Leave())
	}
	return c.Lookup(host).Start(append([]string{path}, args...), opts...)
}

// publish copies a program to where every user may run it.
func (c *Cluster) publish(program string) (string, error) {
	to := filepath.Join(c.public, filepath.Base(program))
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	if !filepath.IsAbs(program) {
		program = filepath.Join(c.bin, program)
	}
	in, err := os.Open(program)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return "", err
	}
	return to, out.Close()
}
