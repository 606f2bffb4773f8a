package keyfile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/vanycast/vanycast/mipv6/ipsec"
)

// number is what the state file says of one association. The fingerprint tells
// a key from another that was given the same SPI by hand.
type number struct {
	SPI         uint32 `json:"spi"`
	Fingerprint string `json:"fingerprint"`
	Sequence    uint32 `json:"sequence"`
}

func (f *File) statePath() string { return f.path + ".state" }

// fingerprint says whether two keys are the same, and nothing else: the keys are
// too long to be guessed.
func fingerprint(a ipsec.Association) string {
	sum := sha256.Sum256(append([]byte("vanycast ESP key\x00"), a.Key.Expose()...))
	return hex.EncodeToString(sum[:8])
}

// readNumbers gives the sequence numbers of these keys. A state file that cannot
// be read is an error: to go on from zero would repeat numbers.
func (f *File) readNumbers(generations []ipsec.Generation) (ipsec.Numbers, error) {
	text, err := readSecret(f.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []number
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", f.statePath(), ErrFormat, err)
	}
	out := ipsec.Numbers{}
	for _, g := range generations {
		for _, a := range g.Associations {
			for _, n := range list {
				if n.SPI == a.SPI && n.Fingerprint == fingerprint(a) {
					out[a.SPI] = n.Sequence
				}
			}
		}
	}
	return out, nil
}

// SaveNumbers implements ipsec.Store.
func (f *File) SaveNumbers(generations []ipsec.Generation, numbers ipsec.Numbers) error {
	list := []number{}
	for _, g := range generations {
		for _, a := range g.Associations {
			list = append(list, number{a.SPI, fingerprint(a), numbers[a.SPI]})
		}
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return writeSecret(f.statePath(), append(text, '\n'))
}
