package keyfile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
)

// ErrFormat: the file does not say what a key file says.
var ErrFormat = errors.New("not a key file")

type association struct {
	SPI int64  `toml:"spi"`
	Key string `toml:"key"`
}

type generation struct {
	Number    int64        `toml:"number"`
	Algorithm string       `toml:"algorithm"`
	BU        *association `toml:"bu"`
	BA        *association `toml:"ba"`
	HoTI      *association `toml:"hoti"`
	HoT       *association `toml:"hot"`
}

func (g *generation) association(p ipsec.Purpose) **association {
	return map[ipsec.Purpose]**association{
		ipsec.Update: &g.BU, ipsec.Acknowledgement: &g.BA, ipsec.TestInit: &g.HoTI, ipsec.Test: &g.HoT,
	}[p]
}

// Parse reads the text of a key file. Errors wrap ErrFormat or
// ipsec.ErrGeneration and quote nothing of the text.
func Parse(text []byte) ([]ipsec.Generation, error) {
	var doc struct {
		Generation []generation `toml:"generation"`
	}
	meta, err := toml.Decode(string(text), &doc)
	if err != nil {
		var pe toml.ParseError
		if errors.As(err, &pe) {
			return nil, fmt.Errorf("%w: line %d is not TOML", ErrFormat, pe.Position.Line)
		}
		return nil, fmt.Errorf("%w: a value is not of its type", ErrFormat)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("%w: there are keys that do not belong there, %d of them", ErrFormat, len(unknown))
	}
	if len(doc.Generation) > ipsec.MaxGenerations {
		return nil, fmt.Errorf("%w: %d generations, at most %d", ErrFormat, len(doc.Generation), ipsec.MaxGenerations)
	}
	var out []ipsec.Generation
	for i := range doc.Generation {
		g, err := doc.Generation[i].decode()
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(o ipsec.Generation) bool { return o.Number == g.Number }) {
			return nil, fmt.Errorf("%w: generation %d is there twice", ErrFormat, g.Number)
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b ipsec.Generation) int { return int(int64(a.Number) - int64(b.Number)) })
	return out, nil
}

func (g *generation) decode() (ipsec.Generation, error) {
	if g.Number < 1 || g.Number > math.MaxUint32 {
		return ipsec.Generation{}, fmt.Errorf("%w: generation %d: its number must be within 1 and %d", ErrFormat, g.Number, uint32(math.MaxUint32))
	}
	out := ipsec.Generation{Number: uint32(g.Number), Algorithm: esp.Algorithm(g.Algorithm)}
	for _, p := range ipsec.Purposes() {
		a := *g.association(p)
		if a == nil {
			return out, fmt.Errorf("%w: generation %d: %v is missing", ErrFormat, g.Number, p)
		}
		if a.SPI < 0 || a.SPI > math.MaxUint32 {
			return out, fmt.Errorf("%w: generation %d: %v: SPI out of range", ErrFormat, g.Number, p)
		}
		key, err := esp.ParseKey(a.Key)
		if err != nil {
			return out, fmt.Errorf("%w: generation %d: %v: %w", ErrFormat, g.Number, p, err)
		}
		out.Associations[p] = ipsec.Association{SPI: uint32(a.SPI), Key: key}
	}
	return out, out.Check()
}

// Format is the text of a key file. It is secret.
func Format(generations []ipsec.Generation) []byte {
	var b strings.Builder
	b.WriteString("# Keys of a replica and its home agent (ESP, RFC 3776). Secret.\n")
	for _, g := range generations {
		fmt.Fprintf(&b, "\n[[generation]]\nnumber    = %d\nalgorithm = %q\n", g.Number, string(g.Algorithm))
		for _, p := range ipsec.Purposes() {
			a := g.Associations[p]
			fmt.Fprintf(&b, "%-4v = { spi = %#x, key = %q }\n", p, a.SPI, hex.EncodeToString(a.Key.Expose()))
		}
	}
	return []byte(b.String())
}
