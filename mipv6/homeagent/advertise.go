package homeagent

import (
	"time"

	"github.com/vanycast/vanycast/mipv6"
	"github.com/vanycast/vanycast/mipv6/internal/nd"
)

// routerAdverts is when this home agent advertises itself on the home link
// (RFC 6275 §7, §8.4), if the configuration wants it to.
type routerAdverts struct {
	initial int       // of the first ones, how many are left
	due     time.Time // the next
	last    time.Time // the one before
}

// startAdverts begins with the first advertisement, at once.
func (c *core) startAdverts(now time.Time) {
	if c.cfg.Advertise && c.linkLocal.IsValid() {
		c.adverting = &routerAdverts{initial: maxInitialAdverts, due: now}
	}
}

// advertiseRouter sends the unsolicited advertisement that is due, and says when
// the next is (RFC 4861 §6.2.4).
func (c *core) advertiseRouter(now time.Time) []action {
	a := c.adverting
	if a == nil || now.Before(a.due) {
		return nil
	}
	interval := c.cfg.AdvertInterval
	low := interval / 3 // MinRtrAdvInterval
	wait := low + time.Duration(uint64(c.randomNumber())*uint64(interval-low)>>32)
	if a.initial > 0 {
		a.initial--
		wait = min(wait, maxInitialAdvertInterval)
	}
	a.last, a.due = now, now.Add(wait)
	return c.routerAdvertisement(true)
}

// routerSolicited has the next advertisement come soon, to all: after a random
// moment, and not sooner after the last than MIN_DELAY_BETWEEN_RAS (§6.2.6).
func (c *core) routerSolicited(now time.Time) {
	a := c.adverting
	if a == nil {
		return
	}
	due := now.Add(time.Duration(uint64(c.randomNumber()) * uint64(maxAdvertDelay) >> 32))
	if earliest := a.last.Add(mipv6.MinDelayBetweenRAs); due.Before(earliest) {
		due = earliest
	}
	if due.Before(a.due) {
		a.due = due
	}
}

// endAdverts tells the link that this is no home agent any more (RFC 4861
// §6.2.5; RFC 6275 §10.5.1: without the H flag it is forgotten).
func (c *core) endAdverts() []action {
	if c.adverting == nil {
		return nil
	}
	c.adverting = nil
	return c.routerAdvertisement(false)
}

func (c *core) routerAdvertisement(homeAgent bool) []action {
	// Router lifetime 0: a home agent is not by that a default router.
	r := nd.RouterAdvertisement{HomeAgent: homeAgent, LinkLayer: c.linkLayer}
	if homeAgent {
		r.Prefixes = []nd.PrefixInformation{c.ownPrefix()}
		r.Agent = &nd.HomeAgentInformation{Preference: c.cfg.Preference, Lifetime: c.cfg.AgentLifetime}
	}
	c.count(CounterAdverts)
	return []action{{kind: actSend, packet: &mipv6.Packet{
		Src: c.linkLocal, Dst: nd.AllNodes.WithZone(c.zone), HopLimit: nd.HopLimit, NextHeader: nd.Protocol,
		Payload: r.Marshal(c.linkLocal, nd.AllNodes),
	}}}
}
