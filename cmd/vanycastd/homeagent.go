package main

import (
	"fmt"
	"net/netip"

	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/mipv6/homeagent"
)

func (d *host) openHomeAgent() error {
	cfg := d.cfg.HomeAgent
	address, err := d.homeAgentAddress()
	if err != nil {
		return err
	}
	role, err := homeagent.New(homeagent.Config{
		Address:     address,
		Prefix:      cfg.Prefix,
		Interface:   d.homeLink(),
		MaxLifetime: cfg.MaxLifetime,
		MaxBindings: cfg.MaxBindings,
		Allow:       homeagent.Allow{Homes: cfg.HomeAddresses, CareOf: cfg.CareOf},

		Preference:      cfg.Preference,
		PrefixValid:     cfg.PrefixValid,
		PrefixPreferred: cfg.PrefixPreferred,
		Advertise:       cfg.Advertise,
		AdvertInterval:  cfg.AdvertInterval,
		AgentLifetime:   cfg.AgentLifetime,
	}, homeagent.Deps{Plane: d.homePlane(), MH: d.mh, Logger: d.log})
	if err != nil {
		return err
	}
	d.homeAgent = role
	return nil
}

// homeAgentAddress is that of the home agent role.
func (d *host) homeAgentAddress() (netip.Addr, error) {
	cfg := d.cfg.HomeAgent
	if cfg.Address.IsValid() {
		return cfg.Address, nil
	}
	return addressIn(d.homeLink(), cfg)
}

// homeLink is the interface of the home agent role.
func (d *host) homeLink() string {
	if i := d.cfg.HomeAgent.Interface; i != "" {
		return i
	}
	return d.cfg.Node.Interface
}

// addressIn is the interface's first address in the home prefix.
func addressIn(iface string, cfg *conf.HomeAgent) (netip.Addr, error) {
	addrs, err := globalAddresses(iface)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, a := range addrs {
		if cfg.Prefix.Contains(a) {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("interface %s has no address in home_agent.prefix %v (it has %v)", iface, cfg.Prefix, addrs)
}
