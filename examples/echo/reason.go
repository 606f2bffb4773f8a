package main

import (
	"errors"
	"strings"

	"github.com/vanycast/vanycast"
)

// plain says why a handoff failed in words for a client.
func plain(why error) string {
	switch {
	case errors.Is(why, vanycast.ErrNoMobileIPv6):
		return "your host has no Mobile IPv6, so it cannot learn that its server moved"
	case errors.Is(why, vanycast.ErrShared):
		return "your host has another connection here, which would have to move along"
	case errors.Is(why, vanycast.ErrNoTarget):
		return "there is no other replica that could take you"
	case errors.Is(why, vanycast.ErrUnreachable):
		return "the other replica does not answer"
	}
	return strings.Join(strings.Fields(why.Error()), " ") // one line, whatever it says
}
