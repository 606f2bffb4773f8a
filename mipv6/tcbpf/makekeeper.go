package tcbpf

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"

	"github.com/vanycast/vanycast/mipv6/dataplane"
)

// makeTUN makes the interface where packets are kept. It exists before the
// programs, which know its number, and it does nothing before they are there.
func (p *Plane) makeTUN() (*os.File, netlink.Link, error) {
	tun, name, err := openTUN()
	if err != nil {
		return nil, nil, err
	}
	link, err := p.host.Netlink.LinkByName(name)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("finding %s: %w", name, err), tun.Close())
	}
	return tun, link, nil
}

func closeTUN(tun *os.File) error {
	if tun == nil {
		return nil
	}
	return tun.Close()
}

// makeKeeper is what this process does at the interface.
func (p *Plane) makeKeeper(tun *os.File, index int) error {
	steering, err := p.programs.Steering.Memory()
	if err != nil {
		return errors.Join(fmt.Errorf("mapping the steering: %w", err), tun.Close())
	}
	p.keeper = &keeper{
		logger:    p.logger,
		tun:       tun,
		index:     index,
		steering:  steering,
		emit:      p.emit,
		eventRoom: func() int { return cap(p.events) - len(p.events) },
		kept:      newKept(p.cfg.Keep),
		buffer:    make([]byte, offloadLength+maxPacket),
	}
	return nil
}

// startKeeper puts the programs at the interface, and begins to read.
func (p *Plane) startKeeper(link netlink.Link) error {
	var programs keeperPrograms
	if err := loadMore(&programs, p.cfg, p.host.Link, bare, link.Attrs().Index, p.programs); err != nil {
		return err
	}
	// The filters hold the programs; the descriptors have done their work.
	err := p.keeper.start(p.host.Netlink, link, programs.fds())
	if err := errors.Join(err, programs.Close()); err != nil {
		return err
	}
	p.loops.Go(p.keeper.run)
	return nil
}

// Features says what this host's kernel lets the plane do: all, but where it has
// no TUN interfaces nothing is kept.
func (p *Plane) Features() dataplane.Features {
	return dataplane.Features{Connections: true, Relay: true, Direct: true, Keep: p.keeper != nil, Steer: p.keeper != nil}
}
