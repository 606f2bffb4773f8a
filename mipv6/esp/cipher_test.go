package esp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newCipher(t testing.TB, a Algorithm, key string) *Cipher {
	t.Helper()
	k, err := ParseKey(strings.ReplaceAll(key, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCipher(a, k)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Whole packets that others made.
var golden = []struct {
	name      string
	algorithm Algorithm
	key       string
	header    Header
	iv        string
	next      uint8
	payload   string
	packet    string
}{
	{
		name:      "draft-mcgrew-gcm-test-01, AES-192",
		algorithm: AESGCM, key: "feffe9928665731c6d6a8f9467308308feffe9928665731c cafebabe",
		header: Header{0xa5f8, 10}, iv: "facedbaddecaf888", next: 1,
		payload: "45000028a4ad4000400678800a01038f0a010612802306b8cb712602dd6bb03e501016d07568",
		packet: "0000a5f8 0000000a facedbaddecaf888" +
			"a5b1f8066029aea40e598b8122de02420938b3ab33f828e687b8858b5bfbdbd0315b27452144cc77" +
			"95457b9652037f5318027b5b4cd7a636",
	},
	{
		name:      "draft-mcgrew-gcm-test-01, AES-256, padded",
		algorithm: AESGCM, key: "abbccddef00112233445566778899aababbccddef00112233445566778899aab 11223344",
		header: Header{0x4a2cbfe3, 2}, iv: "0102030405060708", next: 1,
		payload: "4500003069a6400080062690c0a801029389155e0a9e008b2dc57ee0000000007002400020bf0000020405b401010402",
		packet: "4a2cbfe3 00000002 0102030405060708" +
			"ff425c9b724599df7a3bcd510194e00d6a78107f1b0b1cbf06efae9d65a5d763748a637985771d347f0545659f14e99def842d8e" +
			"b335f4eecfdbf831824b4c4915956c96",
	},
}

func TestGolden(t *testing.T) {
	for _, tt := range golden {
		t.Run(tt.name, func(t *testing.T) {
			c := newCipher(t, tt.algorithm, tt.key)
			payload, packet := unhex(t, tt.payload), unhex(t, tt.packet)
			got, err := c.Seal(tt.header, unhex(t, tt.iv), tt.next, payload)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, packet) {
				t.Errorf("sealed %x\nwant   %x", got, packet)
			}
			next, opened, err := c.Open(packet)
			if err != nil || next != tt.next || !bytes.Equal(opened, payload) {
				t.Errorf("opened %d %x, %v; want %d %x", next, opened, err, tt.next, payload)
			}
		})
	}
}

// RFC 3602 §4: whole packets, but without authentication; ours must agree up to
// where its integrity check value begins.
func TestGoldenCBC(t *testing.T) {
	const mac = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"
	for _, tt := range []struct {
		name, key string
		header    Header
		next      uint8
		payload   string
		packet    string
	}{
		{"case 5: transport mode, padded", "90d382b410eeba7ad938c46cec1a82bf", Header{0x4321, 1}, 1,
			"08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637",
			"0000432100000001e96e8c08ab465763fd098d45dd3ff893f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856" +
				"a4699e523a55db080b59ec3a8e4b7e52775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6"},
		{"case 6: transport mode", "90d382b410eeba7ad938c46cec1a82bf", Header{0x4321, 8}, 1,
			"0800b5e8a80a0500a69c083d0b660e00777777777777777777777777",
			"000043210000000869d08df7d203329db093fc4924e5bd80f51995881ec4e0c4488987ce742e8109689bb379d2d750c0d915dca346a89f75"},
		{"case 7: tunnel mode", "0123456789abcdef0123456789abcdef", Header{0x8765, 2}, 4,
			"45000054090400004001f988c0a87b03c0a87bc808009f76a90a0100b49c083d02a2040008090a0b0c0d0e0f" +
				"101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f3031323334353637",
			"0000876500000002f4e765244f6407adf13dc1380f673f37773b5241a4c449225e4f3ce5ed611b0c237ca96cf74a93013c1b0ea1a0cf70f8" +
				"e4ecaec78ac53aad7a0f022b859243c647752e94a859352b8a4d4d2decd136e5c177f132ad3fbfb2201ac9904c74ee0a109e0ca1e4dfe9d5a100b842f1c22f0d"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newCipher(t, AESCBCHMACSHA256, tt.key+mac)
			want, payload := unhex(t, tt.packet), unhex(t, tt.payload)
			got, err := c.Seal(tt.header, want[headerLen:headerLen+16], tt.next, payload)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got[:len(got)-icvLen], want) {
				t.Errorf("sealed %x\nwant   %x and a check value", got, want)
			}
			next, opened, err := c.Open(got)
			if err != nil || next != tt.next || !bytes.Equal(opened, payload) {
				t.Errorf("opened %d %x, %v", next, opened, err)
			}
		})
	}
}

// RFC 4868 §2.7.2.1, test case AUTH256-1: the truncated HMAC is the one of the
// integrity check value.
func TestGoldenHMAC(t *testing.T) {
	c, err := newCBC(make([]byte, 16), bytes.Repeat([]byte{0x0b}, 32))
	if err != nil {
		t.Fatal(err)
	}
	got := c.icv(append([]byte("Hi There"), make([]byte, icvLen)...))
	if want := unhex(t, "198a607eb44bfbc69903a0f1cf2bbdc5"); !bytes.Equal(got, want) {
		t.Errorf("HMAC-SHA-256-128 %x, want %x", got, want)
	}
}

var testKeys = map[Algorithm]string{
	AESGCM:           strings.Repeat("a1", 36),
	AESCBCHMACSHA256: strings.Repeat("b2", 64),
}

// Whatever is sealed opens to the same, is aligned (RFC 4303 §2.4), and no octet
// of it can be changed, taken away or added.
func TestSealOpen(t *testing.T) {
	for _, a := range Algorithms() {
		c := newCipher(t, a, testKeys[a])
		rapid.Check(t, func(t *rapid.T) {
			h := Header{rapid.Uint32().Draw(t, "spi"), rapid.Uint32().Draw(t, "sequence")}
			iv := rapid.SliceOfN(rapid.Byte(), c.IVLen(), c.IVLen()).Draw(t, "iv")
			next := rapid.Byte().Draw(t, "next")
			payload := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "payload")
			b, err := c.Seal(h, iv, next, payload)
			if err != nil {
				t.Fatal(err)
			}
			if len(b)%4 != 0 {
				t.Fatalf("%d octets are not a multiple of 4", len(b))
			}
			if got, err := ParseHeader(b); err != nil || got != h {
				t.Fatalf("header %+v, %v", got, err)
			}
			before := bytes.Clone(b)
			n, p, err := c.Open(b)
			if err != nil || n != next || !bytes.Equal(p, payload) {
				t.Fatalf("opened %d %x, %v", n, p, err)
			}
			if !bytes.Equal(b, before) {
				t.Fatal("Open changed the packet")
			}
			i := rapid.IntRange(0, len(b)-1).Draw(t, "octet")
			b[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			if _, _, err := c.Open(b); !errors.Is(err, ErrAuthentication) {
				t.Fatalf("octet %d changed: %v", i, err)
			}
			for _, cut := range [][]byte{before[:len(b)-1], before[:i], append(before, 0), append(before[:len(b):len(b)], make([]byte, 16)...)} {
				if _, _, err := c.Open(cut); !errors.Is(err, ErrAuthentication) && !errors.Is(err, ErrMalformed) {
					t.Fatalf("%d octets of %d: %v", len(cut), len(b), err)
				}
			}
		})
	}
}

// What passes the integrity check may still be wrong: a peer with the key can
// err, too.
func TestOpenMalformedInside(t *testing.T) {
	for _, a := range Algorithms() {
		c := newCipher(t, a, testKeys[a])
		for name, inner := range map[string][]byte{
			"padding longer than all": append(make([]byte, 14), 15, 6),
			"padding not 1, 2, 3":     append(make([]byte, 14), 3, 6),
		} {
			b := make([]byte, headerLen+c.IVLen(), 64)
			b = append(b, inner...)
			b = append(b, make([]byte, icvLen)...)
			c.t.seal(b)
			if _, _, err := c.Open(b); !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %s: %v", a, name, err)
			}
		}
	}
}

func TestKeys(t *testing.T) {
	for _, tt := range []struct {
		algorithm Algorithm
		octets    int
		ok        bool
	}{
		{AESGCM, 20, true}, {AESGCM, 28, true}, {AESGCM, 36, true}, {AESGCM, 16, false}, {AESGCM, 32, false}, {AESGCM, 0, false},
		{AESCBCHMACSHA256, 48, true}, {AESCBCHMACSHA256, 56, true}, {AESCBCHMACSHA256, 64, true}, {AESCBCHMACSHA256, 36, false},
		{"des", 8, false}, {"", 0, false},
	} {
		k := NewKey(make([]byte, tt.octets))
		if _, err := NewCipher(tt.algorithm, k); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrKey) {
			t.Errorf("%s with %d octets: %v", tt.algorithm, tt.octets, err)
		}
	}
	for _, a := range Algorithms() {
		k, err := GenerateKey(a, bytes.NewReader(make([]byte, 64)))
		if err != nil || k.Len() != a.KeyLen() {
			t.Errorf("%s: generated %d octets, %v", a, k.Len(), err)
		}
	}
	if _, err := GenerateKey(AESGCM, bytes.NewReader(nil)); err == nil {
		t.Error("a key of no random numbers")
	}
}

// A key never comes to a log, whatever a careless line does with it.
func TestKeysAreNotPrinted(t *testing.T) {
	const secret = "deadbeef"
	k, err := ParseKey(secret + secret)
	if err != nil {
		t.Fatal(err)
	}
	in := struct{ Key Key }{k}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "in", in)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "in", in)
	out := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%d", "%q"} {
		out += fmt.Sprintf(verb+verb, k, in)
	}
	if _, err := ParseKey(secret + "zz"); err == nil {
		t.Error("no error for a key that is not hexadecimal")
	} else {
		out += err.Error()
	}
	for _, leak := range []string{secret, strings.ToUpper(secret), "222 173", "\xde\xad"} {
		if strings.Contains(out, leak) {
			t.Errorf("%q is in %q", leak, out)
		}
	}
}

func TestSenderNumbers(t *testing.T) {
	for _, a := range Algorithms() {
		c := newCipher(t, a, testKeys[a])
		s, err := NewSender(0x1000, c, math.MaxUint32-2, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, want := range []uint32{math.MaxUint32 - 1, math.MaxUint32} {
			b, err := s.Seal(135, []byte("payload"))
			if err != nil {
				t.Fatal(err)
			}
			if h, _ := ParseHeader(b); h != (Header{0x1000, want}) {
				t.Errorf("header %+v, want sequence number %d", h, want)
			}
			iv := string(b[headerLen : headerLen+c.IVLen()])
			if seen[iv] {
				t.Errorf("%s: initialisation vector %x twice", a, iv)
			}
			seen[iv] = true
		}
		if _, err := s.Seal(135, nil); !errors.Is(err, ErrExhausted) {
			t.Errorf("after the last number: %v", err)
		}
	}
	if _, err := NewSender(255, newCipher(t, AESGCM, testKeys[AESGCM]), 0, nil); err == nil {
		t.Error("a reserved SPI is taken")
	}
}

// FuzzOpen: whatever arrives is refused, for nobody has the key.
func FuzzOpen(f *testing.F) {
	for _, g := range golden {
		f.Add(unhex(f, g.packet))
	}
	ciphers := []*Cipher{newCipher(f, AESGCM, testKeys[AESGCM]), newCipher(f, AESCBCHMACSHA256, testKeys[AESCBCHMACSHA256])}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, c := range ciphers {
			r := NewReceiver(c, 0)
			if _, _, err := r.Open(b); err == nil {
				t.Fatalf("%x was opened", b)
			}
			if r.Last() != 0 {
				t.Fatal("a packet that failed moved the window")
			}
		}
	})
}

// FuzzInside: the encrypted part is parsed after the check only, but by who has
// the key it can be anything.
func FuzzInside(f *testing.F) {
	f.Add([]byte{1, 2, 2, 6})
	f.Fuzz(func(t *testing.T, inner []byte) {
		for _, a := range Algorithms() {
			c := newCipher(t, a, testKeys[a])
			if align := max(c.t.align(), minAlign); len(inner) == 0 || len(inner)%align != 0 {
				continue
			}
			b := append(make([]byte, headerLen+c.IVLen()), inner...)
			b = append(b, make([]byte, icvLen)...)
			c.t.seal(b)
			next, payload, err := c.Open(b)
			if err == nil && (len(payload) > len(inner)-trailerLen || next != inner[len(inner)-1]) {
				t.Fatalf("%x opened to %d %x", inner, next, payload)
			}
		}
	})
}
