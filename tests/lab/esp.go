package lab

import "fmt"

// Association is what tshark needs to look into ESP packets (RFC 4303): the SPI
// and the key material in hexadecimal, as both ends have them.
type Association struct {
	SPI       uint32
	Algorithm string // aes-gcm (RFC 4106), aes-cbc-hmac-sha256 (RFC 3602, RFC 4868)
	Key       string
}

// Decrypt has the capture's ESP packets of these associations decrypted, and
// their integrity checked, from now on.
func (c *Capture) Decrypt(associations ...Association) { c.esp = append(c.esp, associations...) }

// decryption are tshark's arguments for that.
func (c *Capture) decryption() []string {
	if len(c.esp) == 0 {
		return nil
	}
	args := []string{"-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"}
	for _, a := range c.esp {
		// The AES key goes first, 256 bits of it with HMAC; tshark takes the salt as
		// part of a GCM key.
		encryption, key, authentication, mac := "AES-GCM with 16 octet ICV [RFC4106]", "0x"+a.Key, "NULL", ""
		if a.Algorithm == "aes-cbc-hmac-sha256" {
			cut := len(a.Key) - 64
			encryption, key = "AES-CBC [RFC3602]", "0x"+a.Key[:cut]
			authentication, mac = "HMAC-SHA-256-128 [RFC4868]", "0x"+a.Key[cut:]
		}
		args = append(args, "-o", fmt.Sprintf(`uat:esp_sa:"IPv6","*","*","%#x","%s","%s","%s","%s"`,
			a.SPI, encryption, key, authentication, mac))
	}
	return args
}
