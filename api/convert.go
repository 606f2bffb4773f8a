package api

import (
	"time"

	"github.com/vanycast/vanycast/api/wire"
	"github.com/vanycast/vanycast/framework"
	"github.com/vanycast/vanycast/handoff"
)

// Client shows a service's client.
func Client(c framework.ClientInfo) wire.Client {
	return wire.Client{
		ID: c.ID, Service: c.Service, Local: c.Local, Remote: c.Remote, State: c.State,
		HandedOff: c.HandedOff, From: c.From, Target: c.Target, MobileIPv6: c.Mobile, Since: c.Since,
	}
}

// Replica shows a service's replica.
func Replica(r framework.ReplicaInfo) wire.Replica {
	return wire.Replica{
		Service: r.Service, Address: r.Address, Self: r.Self, Listening: r.Listening, Excluded: r.Excluded,
		Error: text(r.Err), Accepted: r.Accepted, Failed: r.Failed, Steered: r.Steered, Standing: r.Standing,
	}
}

// Event shows what happened to a service's client.
func Event(e framework.Event) wire.Event {
	return wire.Event{
		Time: e.Time, Kind: string(e.Kind), Service: e.Service, ID: e.ID, Client: e.Client, Target: e.Target, Text: text(e.Err),
	}
}

// Handoff shows a handoff that ended.
func Handoff(r handoff.Record) wire.Handoff {
	h := wire.Handoff{
		ID: r.ID, Service: r.Service, Client: r.Client, Contact: r.Contact, From: r.From, To: r.To,
		Role: string(r.Role), Mode: r.Mode.String(), Started: r.Started, Gap: milliseconds(r.Gap), Bytes: r.Bytes, Error: r.Err,
	}
	for name, d := range r.Phases {
		if h.Phases == nil {
			h.Phases = make(map[string]float64, len(r.Phases))
		}
		h.Phases[name] = milliseconds(d)
	}
	return h
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
