package cluster

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/vanycast/vanycast/mipv6/ipsec/keyfile"
	"github.com/vanycast/vanycast/tests/lab"
)

// Associations are those of a key file, for tshark.
func Associations(file string) (out []lab.Association, err error) {
	_, generations, _, err := keyfile.Open(file)
	if err != nil {
		return nil, err
	}
	for _, g := range generations {
		for _, a := range g.Associations {
			out = append(out, lab.Association{SPI: a.SPI, Algorithm: string(g.Algorithm), Key: hex.EncodeToString(a.Key.Expose())})
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no keys in %s", file)
	}
	return out, nil
}

// JudgeIPsec looks at a capture of the home agent's link, which has ended: no
// Mobility Header is in clear but those that a client sends or gets straight, and
// what tshark opens with the keys is as RFC 3776 §3.1 and §3.3 want it.
func JudgeIPsec(ctx context.Context, home *lab.Capture, client string, keys []lab.Association) error {
	addr := addressOf(client)
	clear, err := home.Frames(ctx, fmt.Sprintf("mipv6 && ipv6.src != %s && ipv6.dst != %s", addr, addr))
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range clear {
		errs = append(errs, fmt.Errorf("in clear: %s", f))
	}
	home.Decrypt(keys...)
	for _, want := range []struct{ what, filter string }{
		{"Binding Update after the Home Address option", "esp && mip6.mhtype == 5 && ipv6.opt.mipv6.home_address"},
		{"Binding Acknowledgement after the type 2 routing header", "esp && mip6.mhtype == 6 && ipv6.routing.type == 2"},
		{"Home Test Init in a tunnel", "esp && mip6.mhtype == 1 && ipv6.src == " + lab.ContactAddress},
		{"Home Test in a tunnel", "esp && mip6.mhtype == 3 && ipv6.dst == " + lab.ContactAddress},
	} {
		if n, err := home.Count(ctx, want.filter); err != nil || n == 0 {
			errs = append(errs, errors.Join(fmt.Errorf("%s: %d frames", want.what, n), err))
		}
	}
	for _, bad := range []string{"esp && !mipv6", "esp.icv_bad == 1", "esp && !(esp.icv_good == 1)"} {
		if frames, err := home.Frames(ctx, bad); err != nil || len(frames) > 0 {
			errs = append(errs, errors.Join(fmt.Errorf("%s:\n%s", bad, strings.Join(frames, "\n")), err))
		}
	}
	return errors.Join(errs...)
}
