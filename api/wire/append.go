package wire

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"
)

// appendMessage appends what json.Marshal makes of the message. A handoff costs
// four of them, so they are written without reflection.
func appendMessage(b []byte, m *Message) ([]byte, error) {
	if m.Failure != nil || m.Clear != nil || !plain(string(m.Kind)) || !plain(m.Service) || m.Since.Year() > 9999 {
		text, err := json.Marshal(m) // seldom, or strange
		return append(b, text...), err
	}
	b = append(b, `{"kind":"`...)
	b = append(append(b, m.Kind...), '"')
	b = appendNumber(b, `,"client":`, m.Client)
	b = appendNumber(b, `,"tag":`, m.Tag)
	if m.N != 0 {
		b = strconv.AppendInt(append(b, `,"n":`...), int64(m.N), 10)
	}
	b = appendAddr(b, `,"target":"`, m.Target)
	b = appendTrue(b, `,"nonblocking":true`, m.Nonblocking)
	b = appendTrue(b, `,"abort":true`, m.Abort)
	b = appendNumber(b, `,"id":`, m.ID)
	if m.Service != "" {
		b = append(append(append(b, `,"service":"`...), m.Service...), '"')
	}
	b = appendAddrPort(b, `,"local":"`, m.Local)
	b = appendAddrPort(b, `,"remote":"`, m.Remote)
	b = appendTrue(b, `,"handed_off":true`, m.HandedOff)
	b = appendAddr(b, `,"from":"`, m.From)
	if !m.Since.IsZero() {
		b = append(m.Since.AppendFormat(append(b, `,"since":"`...), time.RFC3339Nano), '"')
	}
	return append(b, '}'), nil
}

// plain tells a text that JSON has as it is.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

func appendNumber(b []byte, name string, n uint64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendUint(append(b, name...), n, 10)
}

func appendTrue(b []byte, text string, is bool) []byte {
	if !is {
		return b
	}
	return append(b, text...)
}

func appendAddr(b []byte, name string, a netip.Addr) []byte {
	if !a.IsValid() {
		return b
	}
	return append(a.AppendTo(append(b, name...)), '"')
}

func appendAddrPort(b []byte, name string, a netip.AddrPort) []byte {
	if a == (netip.AddrPort{}) {
		return b
	}
	return append(a.AppendTo(append(b, name...)), '"')
}
