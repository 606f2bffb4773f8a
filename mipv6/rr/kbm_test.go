package rr

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/vanycast/vanycast/mipv6"
)

var (
	contact = netip.MustParseAddr("2001:db8:9::1")
	careOf  = netip.MustParseAddr("2001:db8:1::10")
	client  = netip.MustParseAddr("2001:db8:c::7")
)

// The vectors were computed with Python's hmac and hashlib from the formulas of
// RFC 6275 §5.2.5 and §6.2.7, not with this package: Kcn = 00 01 … 13, nonce =
// a0 … a7.
func TestGoldenKeys(t *testing.T) {
	var kcn [nodeKeyLen]byte
	for i := range kcn {
		kcn[i] = byte(i)
	}
	nonce := []byte{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7}
	mh, err := hex.DecodeString("3b0705000000000180000069")
	if err != nil {
		t.Fatal(err)
	}
	ht := keygenToken(kcn[:], contact, nonce, homeKind)
	ct := keygenToken(kcn[:], careOf, nonce, careOfKind)
	kbm, del := Kbm(ht, ct), KbmDelete(ht)
	bind := Authenticate(kbm, careOf, client, mh)
	remove := Authenticate(del, contact, client, mh)
	for _, tc := range []struct {
		name string
		got  []byte
		want string
	}{
		{"home keygen token §5.2.5", ht[:], "3fd9e550cb1de255"},
		{"care-of keygen token §5.2.5", ct[:], "28fa11aca9529656"},
		{"Kbm §5.2.5", kbm[:], "cf3d2cb8fc55016f5bb0c23f80168fb268fa8555"},
		{"Kbm of a deletion §5.2.5", del[:], "68cfdf86e193e9914309bc5ca4f543a37b21641c"},
		{"authenticator §6.2.7", bind[:], "59ca967eb937244e8563fb90"},
		{"authenticator of a deletion §6.2.7", remove[:], "7222a89389d1255deb41f6a1"},
	} {
		if got := hex.EncodeToString(tc.got); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
}

func TestAuthenticIsExact(t *testing.T) {
	key := Kbm(mipv6.KeygenToken{1}, mipv6.KeygenToken{2})
	data := []byte("mobility header")
	a := Authenticate(key, careOf, client, data)
	if !Authentic(a, key, careOf, client, data) {
		t.Fatal("the own authenticator is not authentic")
	}
	for i := range a {
		bad := a
		bad[i] ^= 0x01
		if Authentic(bad, key, careOf, client, data) {
			t.Errorf("octet %d changed, still authentic", i)
		}
	}
	if Authentic(a, key, contact, client, data) || Authentic(a, key, careOf, contact, data) ||
		Authentic(a, Key{}, careOf, client, data) || Authentic(a, key, careOf, client, data[1:]) {
		t.Error("another address, key or message passes")
	}
}
