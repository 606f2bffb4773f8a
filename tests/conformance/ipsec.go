package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// keysVariable tells the tester where the key files are.
const keysVariable = "IPSEC_KEYS"

// pairs is how many mobile nodes have keys: each case has its own (tester/ha_ipsec.py),
// because sequence numbers are a pair's.
const pairs = 34

func keyFile(dir string, pair int) string {
	return filepath.Join(dir, fmt.Sprintf("pair-%d.keys", pair))
}

// makeKeys makes the key files of all pairs: the odd ones for the first
// algorithm, the even ones for the other.
func makeKeys(vanyctl, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for first, algorithm := range map[int]string{1: "aes-gcm", 2: "aes-cbc-hmac-sha256"} {
		args := []string{"keys", "new", "--algorithm", algorithm}
		for pair := first; pair <= pairs; pair += 2 {
			args = append(args, keyFile(dir, pair))
		}
		if out, err := exec.Command(vanyctl, args...).CombinedOutput(); err != nil {
			return fmt.Errorf("conformance: vanyctl %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// ipsecSections are the pairs in the home agent's configuration.
func ipsecSections(dir string) string {
	var b strings.Builder
	for pair := 1; pair <= pairs; pair++ {
		node := 0xe000 + pair
		fmt.Fprintf(&b, "\n[[ipsec]]\ncontact_address = \"2001:db8:9::1:%x\"\ncare_of = \"2001:db8:1:%x::10\"\nkeys = %q\n", node, node, keyFile(dir, pair))
	}
	return b.String()
}
