"""The home agent under test, and what cases do with it.

Real home link: the node's one interface is on the home link, with the tester
as the router to everywhere. Virtual home link: the home prefix is on an
interface that leads nowhere, and everything comes through the foreign side.
"""

import struct
import threading

from mip6 import (
    BA,
    BE,
    Acknowledgement,
    BindingErrorMessage,
    IPv6,
    alternate,
    binding_update,
    echo_request,
    home_address_option,
)
from wire import Failure, multicast_mac, solicited_node

from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, ICMPv6Unknown

AGENT = "2001:db8:9::ff"
ANYCAST = "2001:db8:9:0:fdff:ffff:ffff:fffe"  # RFC 2526: the home agents anycast address
ROUTER = "2001:db8:9::fe"
FAR_ROUTER = "2001:db8:5::fe"
FAR_AGENT = "2001:db8:5::ff"


class HomeAgent:
    """What the cases of one set-up share."""

    def __init__(self, wire, virtual):
        self.wire, self.virtual = wire, virtual
        self.fence_lock, self.fence = threading.Lock(), None  # see ha_ipsec.py
        wire.present.update({ROUTER, FAR_ROUTER, "fe80::fe"})

    def link_local(self):
        """The node's own link-local address, from its MAC (RFC 4291)."""
        m = bytes.fromhex(self.wire.nut_mac.replace(":", ""))
        iid = bytes([m[0] ^ 2]) + m[1:3] + b"\xff\xfe" + m[3:]
        return "fe80::" + ":".join("%x" % g for g in struct.unpack("!4H", iid))


class MobileNode:
    """A mobile node of one case: addresses of its own, and its numbers."""

    def __init__(self, case, number=None):
        n = case.n if number is None else number
        self.case, self.n = case, n
        self.home = "2001:db8:9::1:%x" % n
        self.local = "fe80::1:%x" % n  # same interface identifier
        self.care_of = "2001:db8:1:%x::10" % n
        self.other_care_of = "2001:db8:2:%x::10" % n
        self.correspondent = "2001:db8:c:%x::1" % n
        self.seq = 10

    # What it sends.

    def update(self, flags="AH", lifetime=15, seq=None, src=None, home=None, hao=True, options=None, dst=AGENT, **fields):
        """A Binding Update for the home agent, as a packet."""
        self.seq = seq = (self.seq + 1) % 65536 if seq is None else seq
        src, home = src or self.care_of, home or self.home
        if options is None:
            options = [alternate(src)]
        packet = IPv6(src=src, dst=dst, hlim=64)
        if hao:
            packet = packet / home_address_option(home)
        return packet / binding_update(seq, flags, lifetime, options, **fields)

    def send_update(self, *args, **kwargs):
        self.case.send(self.update(*args, **kwargs))

    # What must come.

    def opened(self, v):
        """A packet as it was before it was protected, if that is what this
        node expects; None if it is not protected then."""
        return v

    def acknowledged(self, status, seq=None, at=None, home=None, routed=True):
        """Waits for the Binding Acknowledgement and checks all of it that is
        the same in every case."""
        c, at, home = self.case, at or self.care_of, home or self.home
        seq = self.seq if seq is None else seq
        what = "Binding Acknowledgement to %s" % at

        def match(v):
            v = self.opened(v) if v.dst == at else None
            if not v or not v.mobility(BA):
                return None
            ba = Acknowledgement(v)
            return ba if ba.seq == seq else None

        ba = c.expect("%s with number %d" % (what, seq), match)
        c.check(ba.status == status, "%s has status %d, want %d" % (what, ba.status, status))
        c.check(ba.view.src == AGENT, "%s is from %s" % (what, ba.view.src))
        c.check(ba.view.checksum_right(), "%s has a wrong checksum" % what)
        c.check(ba.reserved == 0, "%s has reserved bits" % what)
        c.check(ba.view.payload[0] == 59, "%s has payload proto %d" % (what, ba.view.payload[0]))
        c.check(ba.view.home is None, "%s has a Home Address option" % what)
        if routed:
            c.check(ba.view.routing_home == home, "%s has home address %s in its routing header, want %s" % (what, ba.view.routing_home, home))
        else:
            c.check(ba.view.routing_home is None, "%s has a routing header" % what)
        if status >= 128:
            c.check(ba.lifetime == 0, "%s is a refusal with a lifetime" % what)
        c.start = c.wire.position()
        return ba

    def register(self, **kwargs):
        """A registration that is accepted."""
        self.send_update(**kwargs)
        return self.acknowledged(0, at=kwargs.get("src"), home=kwargs.get("home"))

    # How the home agent treats its home address.

    def echo_from_correspondent(self, data):
        ident = self.case.random.randrange(65536)
        self.case.send(IPv6(src=self.correspondent, dst=self.home, hlim=64) / echo_request(ident, data=data))

    def is_tunnelled(self, care_of=None, link=None):
        """A correspondent's packet arrives at the care-of address, in a tunnel
        from the home agent."""
        c, care_of = self.case, care_of or self.care_of
        data = b"tunnelled %d" % c.random.randrange(1 << 30)
        self.echo_from_correspondent(data)

        def match(v):
            i = v.inner()
            return v if i and i.payload.endswith(data) else None

        v = c.expect("tunnelled packet to %s" % care_of, match)
        i = v.inner()
        c.check((v.src, v.dst) == (AGENT, care_of), "the tunnel is from %s to %s, want %s to %s" % (v.src, v.dst, AGENT, care_of))
        c.check((i.src, i.dst) == (self.correspondent, self.home), "the packet in the tunnel is from %s to %s" % (i.src, i.dst))
        c.check(i.hop_limit == 63, "the hop limit in the tunnel is %d, want 63 (RFC 2473 §3.1)" % i.hop_limit)
        c.check(i.checksum_right(), "the packet in the tunnel has a wrong checksum")

    def is_bound(self, care_of=None):
        """The home agent believes a Home Address option, and answers with a
        type 2 routing header (§9.3.1, §9.3.2)."""
        c, care_of = self.case, care_of or self.care_of
        ident = c.random.randrange(65536)
        c.send(IPv6(src=care_of, dst=AGENT, hlim=64) / home_address_option(self.home) / echo_request(ident))
        v = c.expect("Echo Reply to %s" % care_of, lambda v: v if v.icmp(129) and v.dst == care_of and v.payload[4:6] == ident.to_bytes(2, "big") else None)
        c.check(v.routing_home == self.home, "Echo Reply to %s has no type 2 routing header with %s" % (care_of, self.home))
        c.check(v.checksum_right(), "Echo Reply has a wrong checksum")

    def is_unbound(self, care_of=None):
        """A Home Address option draws a Binding Error, status 1 (§9.3.3)."""
        c, care_of = self.case, care_of or self.care_of
        c.send(IPv6(src=care_of, dst=AGENT, hlim=64) / home_address_option(self.home) / echo_request(1))
        v = c.expect("Binding Error to %s" % care_of, lambda v: v if v.mobility(BE) and v.dst == care_of else None)
        be = BindingErrorMessage(v)
        c.check(be.status == 1, "Binding Error has status %d, want 1" % be.status)
        c.check(be.home == self.home, "Binding Error is about %s, want %s" % (be.home, self.home))
        c.check(v.routing_home is None, "Binding Error has a routing header")
        c.check(v.checksum_right(), "Binding Error has a wrong checksum")

    def fence(self):
        """Makes the home agent answer: what it was sent before has been dealt
        with then. The update is for another subnet, so it changes nothing."""
        c = self.case
        number = c.new_number()
        other = "2001:db8:3:%x::10" % number
        c.send(self.update(src=other, home="2001:db8:8::%x" % number, seq=1))
        c.expect("answer to the next Binding Update", lambda v: v.mobility(BA) and v.dst == other)

    def silence(self, what, at=None):
        """Nothing at all goes to the care-of address for what was sent."""
        at = at or self.care_of
        self.case.never(what + " to " + at, lambda v: v.dst == at, self.fence)


# Neighbour discovery, as a host on the home link does it.


def solicit(case, target, src=None, to=None, source_address=True):
    """A Neighbor Solicitation: to the solicited-node group, or with to (a MAC)
    to the target itself; from nobody (duplicate address detection) with src "::"."""
    src = src or "2001:db8:9::2:%x" % case.n
    case.wire.present.add(src)
    dst = target if to else solicited_node(target)
    packet = IPv6(src=src, dst=dst, hlim=255) / ICMPv6ND_NS(tgt=target)
    if source_address and src != "::":
        packet = packet / ICMPv6NDOptSrcLLAddr(lladdr=case.wire.mac)
    case.send(packet, dst_mac=to or multicast_mac(dst))
    return src


def advertised(case, target, to, complete=True):
    """Waits for the Neighbor Advertisement of target to an address. It need not
    say the link-layer address to who asked by that (RFC 4861 §7.2.4)."""

    def match(v):
        if v.dst != to or not v.icmp(136):
            return None
        na = ICMPv6ND_NA(v.payload)
        return (v, na) if na.tgt == target else None

    v, na = case.expect("Neighbor Advertisement of %s" % target, match)
    case.check(v.hop_limit == 255, "Neighbor Advertisement has hop limit %d" % v.hop_limit)
    case.check(v.checksum_right(), "Neighbor Advertisement has a wrong checksum")
    option = na.getlayer(ICMPv6NDOptDstLLAddr)
    case.check(option is not None or not complete, "Neighbor Advertisement has no target link-layer address")
    said = option.lladdr if option else case.wire.nut_mac
    case.check(said == case.wire.nut_mac, "Neighbor Advertisement says %s, the home agent is %s" % (said, case.wire.nut_mac))
    return na


def not_advertised(case, target, to):
    """No advertisement of target: one for the home agent's own address, asked
    for later, comes first."""
    other = "2001:db8:9::3:%x" % case.n

    def until():
        solicit(case, AGENT, src=other)
        advertised(case, AGENT, other)

    def match(v):
        return v.icmp(136) and v.dst == to and ICMPv6ND_NA(v.payload).tgt == target

    case.never("a Neighbor Advertisement of %s" % target, match, until)


def probed(case, target):
    """Waits for the home agent's duplicate address detection of target."""

    def match(v):
        if v.icmp(135) and v.src == "::":
            return v if ICMPv6ND_NS(v.payload).tgt == target else None
        return None

    v = case.expect("duplicate address detection of %s" % target, match)
    case.check(v.dst == solicited_node(target), "the probe goes to %s" % v.dst)
    case.check(v.hop_limit == 255, "the probe has hop limit %d" % v.hop_limit)
    case.check(v.checksum_right(), "the probe has a wrong checksum")


def claim(case, target):
    """A neighbour says that target is its own."""
    case.send(
        IPv6(src=target, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=target, R=0, S=0, O=1) / ICMPv6NDOptDstLLAddr(lladdr=case.wire.mac),
        dst_mac=multicast_mac("ff02::1"),
    )


_ = (Failure, ICMPv6Unknown)
