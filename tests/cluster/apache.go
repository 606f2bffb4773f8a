package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/vanycast/vanycast/tests/lab"
)

// ApachePort is where the Apache of a host listens, on all its addresses.
const ApachePort = 8080

// StartApache runs Debian's Apache on a host with these files, by name, and waits
// until it answers for each.
func (c *Cluster) StartApache(ctx context.Context, host string, files map[string]string) error {
	dir := filepath.Join(c.public, "apache-"+host)
	if err := os.MkdirAll(filepath.Join(dir, "www"), 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, "www", name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	const modules = "/usr/lib/apache2/modules/"
	conf := fmt.Sprintf(`ServerRoot %[1]s
ServerName %[2]s
PidFile %[1]s/pid
ErrorLog %[1]s/error.log
Listen [::]:%[4]d
LoadModule mpm_event_module %[3]smod_mpm_event.so
LoadModule authz_core_module %[3]smod_authz_core.so
User nobody
Group nogroup
StartServers 1
DocumentRoot %[1]s/www
<Directory %[1]s/www>
	Require all granted
</Directory>
`, dir, host, modules, ApachePort)
	file := filepath.Join(dir, "apache.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return err
	}
	h := c.Lookup(host)
	if _, err := h.Start([]string{"apache2", "-f", file, "-DFOREGROUND"}, lab.LogName(host+"-apache.log")); err != nil {
		return err
	}
	const limit = 20 * time.Second
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("apache on %s does not answer within %v", host, limit))
	defer cancel()
	return lab.WaitFor(ctx, func() error {
		for name := range files {
			if _, err := h.Output(ctx, "curl", "-sS", "--fail", "-o", "/dev/null", fmt.Sprintf("http://[::1]:%d/%s", ApachePort, name)); err != nil {
				return err
			}
		}
		return nil
	})
}
