package keyfile

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vanycast/vanycast/mipv6/esp"
	"github.com/vanycast/vanycast/mipv6/ipsec"
)

func generate(t testing.TB, number uint32, a esp.Algorithm) ipsec.Generation {
	t.Helper()
	g, err := ipsec.Generate(number, a, rand.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// What is written is read again, with the numbers; both files are the owner's
// alone, whatever the umask.
func TestRoundTrip(t *testing.T) {
	path := filepath.Join(t.TempDir(), "glass.keys")
	f, none, _, err := Open(path)
	if err != nil || len(none) != 0 {
		t.Fatalf("no file: %v, %v", none, err)
	}
	want := []ipsec.Generation{generate(t, 1, esp.AESGCM), generate(t, 2, esp.AESCBCHMACSHA256)}
	numbers := ipsec.Numbers{want[0].Associations[ipsec.Update].SPI: 4711, want[1].Associations[ipsec.Test].SPI: 1<<32 - 1}
	if err := errors.Join(f.SaveKeys(want), f.SaveNumbers(want, numbers)); err != nil {
		t.Fatal(err)
	}
	_, got, gotNumbers, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(Format(got), Format(want)) {
		t.Errorf("%d generations differ from what was written", len(got))
	}
	for spi, n := range numbers {
		if gotNumbers[spi] != n {
			t.Errorf("SPI %#x: number %d, want %d", spi, gotNumbers[spi], n)
		}
	}
	for _, p := range []string{path, path + ".state"} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v", p, info.Mode())
		}
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		secret := hex.EncodeToString(want[0].Associations[0].Key.Expose())
		if holds := bytes.Contains(text, []byte(secret)); holds != (p == path) {
			t.Errorf("%s holds a key: %v", p, holds)
		}
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// Numbers belong to a key, not to an SPI: a key that was given an old SPI begins
// anew at both ends.
func TestNumbersOfAnotherKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	f := &File{path}
	g := generate(t, 1, esp.AESGCM)
	if err := f.SaveNumbers([]ipsec.Generation{g}, ipsec.Numbers{g.Associations[0].SPI: 9, g.Associations[1].SPI: 8}); err != nil {
		t.Fatal(err)
	}
	other := generate(t, 1, esp.AESGCM)
	g.Associations[0].Key = other.Associations[0].Key
	if err := f.SaveKeys([]ipsec.Generation{g}); err != nil {
		t.Fatal(err)
	}
	_, _, numbers, err := Open(path)
	if err != nil || numbers[g.Associations[0].SPI] != 0 || numbers[g.Associations[1].SPI] != 8 {
		t.Errorf("numbers %v, %v", numbers, err)
	}
}

func TestMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := Write(path, []ipsec.Generation{generate(t, 1, esp.AESGCM)}); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, nil); !errors.Is(err, os.ErrExist) {
		t.Errorf("a file that was there is replaced: %v", err)
	}
	if _, _, _, err := Open(path); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := Open(path); !errors.Is(err, ErrMode) || !strings.Contains(err.Error(), path) {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	if _, _, _, err := Open(filepath.Dir(path)); err == nil {
		t.Error("a folder is taken for a key file")
	}
	if os.Getuid() != 0 {
		return
	}
	if err := errors.Join(os.Chmod(path, 0o600), os.Chown(path, 12345, 0)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := Open(path); !errors.Is(err, ErrMode) {
		t.Errorf("somebody else's: %v", err)
	}
}

// A state file that was damaged is no reason to begin anew.
func TestDamagedState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := Write(path, []ipsec.Generation{generate(t, 1, esp.AESGCM)}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".state", []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := Open(path); !errors.Is(err, ErrFormat) {
		t.Errorf("%v", err)
	}
}

// Mistakes are told by where they are; the keys beside them are not quoted.
func TestMistakes(t *testing.T) {
	good := string(Format([]ipsec.Generation{generate(t, 1, esp.AESGCM)}))
	lines := strings.Split(good, "\n")
	line := func(prefix string) string {
		for _, l := range lines {
			if strings.HasPrefix(l, prefix) {
				return l
			}
		}
		t.Fatalf("no line %q", prefix)
		return ""
	}
	for _, tt := range []struct{ name, old, new, want string }{
		{"no TOML", line("ba"), line("ba") + "}", "line 7 is not TOML"},
		{"unknown key", "number ", "nummer ", "do not belong"},
		{"number missing", line("number"), "", "number must be within"},
		{"algorithm", `"aes-gcm"`, `"rot13"`, "algorithm \"rot13\" is unknown"},
		{"association missing", line("hot "), "", "hot is missing"},
		{"reserved SPI", line("bu"), `bu = { spi = 255, key = "00" }`, "reserved"},
		{"SPI out of range", line("bu"), `bu = { spi = -1, key = "00" }`, "out of range"},
		{"short key", line("bu"), `bu = { spi = 256, key = "00" }`, "takes 20, 28 or 36 octets, not 1"},
		{"no hexadecimal", line("bu"), `bu = { spi = 256, key = "xx" }`, "hexadecimal"},
		{"not of its type", line("number"), `number = "one"`, "not of its type"},
		{"same key twice", line("ba"), strings.Replace(strings.Replace(line("bu"), "bu ", "ba ", 1), "0x", "0x0", 1), "same"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(strings.Replace(good, tt.old, tt.new, 1)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q in it", err, tt.want)
			}
			for _, l := range lines {
				if _, key, ok := strings.Cut(l, "key = "); ok && strings.Contains(err.Error(), strings.Trim(key, "\" }")) {
					t.Error("the error quotes a key")
				}
			}
		})
	}
	if _, err := Parse([]byte(good + strings.Join(lines[1:], "\n"))); !errors.Is(err, ErrFormat) {
		t.Errorf("a generation twice: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Format([]ipsec.Generation{generate(f, 1, esp.AESGCM), generate(f, 7, esp.AESCBCHMACSHA256)}))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(Format(g))
		if err != nil || !bytes.Equal(Format(again), Format(g)) {
			t.Fatalf("%d generations do not survive: %v", len(g), err)
		}
	})
}
