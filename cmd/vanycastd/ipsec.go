package main

import (
	"errors"
	"fmt"

	"github.com/vanycast/vanycast/conf"
	"github.com/vanycast/vanycast/mipv6/dataplane"
	"github.com/vanycast/vanycast/mipv6/ipsec"
	"github.com/vanycast/vanycast/mipv6/ipsec/keyfile"
	"github.com/vanycast/vanycast/mipv6/mhsock"
	"github.com/vanycast/vanycast/mipv6/xfrm"
)

// openMobility opens the sockets for Mobility Headers, and puts the IPsec policy
// between them and the roles where the configuration has one.
func (d *host) openMobility(closing func(func() error)) error {
	var err error
	if d.ipsec, err = d.openIPsec(closing); err != nil {
		return err
	}
	socket, err := mhsock.Open(d.log)
	if err != nil {
		return err
	}
	d.mh = socket
	switch {
	case d.ipsec == nil:
		return nil
	case d.planeKind == conf.DataPlaneXFRM:
		d.mh = ipsec.NewKernelConn(d.ipsec, socket)
		return nil
	}
	esp, err := mhsock.OpenESP(d.log)
	if err != nil {
		return errors.Join(err, socket.Close())
	}
	conn := ipsec.NewConn(d.ipsec, socket, esp)
	if t, ok := d.plane.(dataplane.Taker); ok && d.cfg.Has(conf.RoleHomeAgent) {
		conn.Forward(t.Taken())
	}
	d.mh = conn
	return nil
}

// openIPsec reads the keys and makes the policy; nil if nothing is to be
// protected. Where the kernel does Mobile IPv6 it does ESP, too; else we do.
func (d *host) openIPsec(closing func(func() error)) (*ipsec.Endpoint, error) {
	cfg := ipsec.Config{Logger: d.log}
	if h := d.cfg.HomeAgent; h != nil && h.IPsec == conf.IPsecRequired {
		var err error
		if cfg.HomeAgent, err = d.homeAgentAddress(); err != nil {
			return nil, err
		}
	}
	for _, s := range d.cfg.Services {
		if s.IPsec == conf.IPsecRequired {
			cfg.Contacts = append(cfg.Contacts, ipsec.Contact{Home: s.ContactAddress, HomeAgent: s.HomeAgent})
		}
	}
	for _, p := range d.cfg.IPsec {
		pair, err := d.ipsecPair(p)
		if err != nil {
			return nil, err
		}
		cfg.Pairs = append(cfg.Pairs, pair)
	}
	if len(cfg.Pairs) == 0 && len(cfg.Contacts) == 0 && !cfg.HomeAgent.IsValid() {
		return nil, nil
	}
	if d.planeKind == conf.DataPlaneXFRM {
		kernel, err := xfrm.NewESP()
		if err != nil {
			return nil, fmt.Errorf(`%w; with node.dataplane = "bpf" the daemon does ESP itself`, err)
		}
		closing(kernel.Close)
		cfg.Kernel = kernel
	}
	return ipsec.New(cfg)
}

// ipsecPair completes an [[ipsec]] and reads its files.
func (d *host) ipsecPair(p conf.IPsec) (ipsec.PairConfig, error) {
	out := ipsec.PairConfig{Pair: ipsec.Pair{Home: p.ContactAddress, CareOf: p.CareOf, HomeAgent: p.HomeAgent}}
	if d.cfg.IPsecReplica(p) {
		out.Side, out.CareOf = ipsec.Replica, d.careOf()
		out.Pair.HomeAgent = d.cfg.ServiceAt(p.ContactAddress).HomeAgent
	} else {
		out.Side = ipsec.HomeAgent
		var err error
		if out.Pair.HomeAgent, err = d.homeAgentAddress(); err != nil {
			return out, err
		}
	}
	file, generations, numbers, err := keyfile.Open(p.Keys)
	if err != nil {
		return out, fmt.Errorf("[[ipsec]] of %v: %w", p.ContactAddress, err)
	}
	out.Store, out.Generations, out.Numbers = file, generations, numbers
	if len(generations) == 0 {
		d.log.Warn("no keys yet: nothing is registered", "contact", out.Home, "care_of", out.CareOf, "file", p.Keys)
	}
	return out, nil
}

// homePlane is the home agent's data plane.
func (d *host) homePlane() dataplane.Plane {
	if d.ipsec == nil {
		return d.planeFor()
	}
	return ipsec.NewPlane(d.ipsec, d.planeFor())
}
