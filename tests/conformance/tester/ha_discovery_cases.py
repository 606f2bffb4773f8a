"""Home agent: discovery of home agents and of prefixes (RFC 6275 §10.5, §10.6),
and what is heard and said in router advertisements (§7, §10.5.1).

The Home Agents List is one: the cases about it run one after another, and each
takes back what it put there.
"""

import struct
import time

from ha_cases import BOTH, real, virtual
from ha_setup import AGENT, ANYCAST, MobileNode
from mip6 import IPv6, home_address_option
from scapy.layers.inet6 import (
    ICMPv6HAADReply,
    ICMPv6HAADRequest,
    ICMPv6MPAdv,
    ICMPv6MPSol,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptHAInfo,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
)
from wire import multicast_mac

PREFERENCE = 10  # of the home agent under test, by its configuration
VALID = 7200  # lifetime of its prefix in seconds

# 8.1. Requests


def discover(c, reserved=0, src=None):
    """Asks the anycast address; the reply's addresses."""
    n = c.new_number()
    src = src or "2001:db8:1:%x::10" % n
    ident = c.random.randrange(65536)
    c.send(IPv6(src=src, dst=ANYCAST, hlim=64) / ICMPv6HAADRequest(id=ident, R=0, res=reserved))
    v = c.expect("Home Agent Address Discovery Reply", lambda v: v if v.icmp(145) and v.dst == src else None)
    reply = ICMPv6HAADReply(v.payload)
    c.check(v.src == AGENT, "the reply is from %s, want the home agent's own address" % v.src)
    c.check(reply.id == ident, "identifier %d, want %d" % (reply.id, ident))
    c.check(v.checksum_right(), "wrong checksum")
    c.check(v.payload[6:8] == b"\0\0", "reserved bits set")
    c.check(len(v.data) <= 1280, "the reply has %d octets" % len(v.data))
    c.mark()
    return reply.addresses or []


def request(c, reserved):
    addresses = discover(c, reserved)
    c.check(AGENT in addresses, "the list is %s, without the home agent itself" % addresses)


for g, plain, odd in ((real, "HA_7_1_1", "HA_7_1_3"), (virtual, "HA_7_1_2", "HA_7_1_4")):
    g.case(plain, "10.5", "Home Agent Address Discovery Request to the anycast address: replied to from the own address", 0)(request)
    g.case(odd, "6.5", "Reserved bits set in the request: ignored", 0x7FFF)(request)


@real.case("10.5/1", "10.5", "Request to another address than the anycast address: not answered")
def unicast_request(c):
    src = "2001:db8:1:%x::10" % c.n
    c.send(IPv6(src=src, dst=AGENT, hlim=64) / ICMPv6HAADRequest(id=1, R=0))
    c.never("a reply", lambda v: v.icmp(145) and v.dst == src, lambda: discover(c))


@real.case("10.5/2", "6.5", "Request with a wrong checksum, or too short: not answered")
def bad_request(c):
    src = "2001:db8:1:%x::10" % c.n
    c.send(IPv6(src=src, dst=ANYCAST, hlim=64) / ICMPv6HAADRequest(id=1, R=0, cksum=0x1111))
    c.send(IPv6(src=src, dst=ANYCAST, nh=58, hlim=64) / bytes.fromhex("90006e1a0001"))
    c.never("a reply", lambda v: v.icmp(145) and v.dst == src, lambda: discover(c))


# 8.2. Router advertisements of others


class OtherAgent:
    """Another home agent on the home link."""

    def __init__(self, case, n):
        self.case, self.n = case, n
        self.local = "fe80::a:%x" % n
        self.addr = "2001:db8:9::a:%x" % n

    def advertise(self, preference=None, lifetime=1800, router_lifetime=1800, home_agent=1, addresses=None, router_address=1):
        ra = IPv6(src=self.local, dst="ff02::1", hlim=255) / ICMPv6ND_RA(H=home_agent, routerlifetime=router_lifetime) / ICMPv6NDOptSrcLLAddr(lladdr=self.case.wire.mac)
        for a in addresses or [self.addr]:
            ra = ra / ICMPv6NDOptPrefixInfo(prefix=a, prefixlen=64, L=1, A=1, R=router_address, validlifetime=7200, preferredlifetime=3600)
        if preference is not None:
            ra = ra / ICMPv6NDOptHAInfo(pref=preference, lifetime=lifetime)
        self.case.send(ra, dst_mac=multicast_mac("ff02::1"))

    def leave(self):
        self.advertise(home_agent=0)


def listed(c, want, among):
    """The list, but for those who are not in question, is this."""
    got = []
    for _ in range(20):
        got = [a for a in discover(c) if a in among]
        if got == want:
            return
        time.sleep(0.2)  # the advertisement and the request go by different sockets
    c.check(False, "the list is %s, want %s" % (got, want))


def link_case(ident, section, title, *args):
    """A case about the Home Agents List: alone, and with two other home agents
    that are gone at its end."""

    def register(run):
        def alone(c, *more):
            a, b = OtherAgent(c, 1), OtherAgent(c, 2)
            try:
                run(c, a, b, *more)
            finally:
                a.leave()
                b.leave()

        real.case(ident, section, title, *args, alone=True)(alone)
        return run

    return register


def position(c, a, b, preference, first):
    a.advertise(preference)
    listed(c, [AGENT, a.addr] if first else [a.addr, AGENT], (AGENT, a.addr))


link_case("HA_7_2_1", "10.5.1", "Home Agent Information option with preference 0: listed, after this home agent", 0, True)(position)
link_case("HA_7_2_9", "10.5.1", "No Home Agent Information option: listed with preference 0", None, True)(position)
link_case("HA_7_2_2", "10.5.1", "Home Agent Information option with preference 0xffff: listed first", 0xFFFF, False)(position)


def gone(c, a, b, change):
    a.advertise(100)
    listed(c, [a.addr, AGENT], (AGENT, a.addr))
    change(a)
    listed(c, [AGENT], (AGENT, a.addr))


link_case("HA_7_3_1", "10.5.1", "Home Agent Information option with lifetime 0: off the list", lambda a: a.advertise(100, lifetime=0))(gone)
link_case("HA_7_3_2", "10.5.1", "No such option, router lifetime 0: off the list", lambda a: a.advertise(router_lifetime=0))(gone)
link_case("HA_7_4_1", "10.5.1", "H clear: off the list", lambda a: a.advertise(100, home_agent=0))(gone)


@link_case("HA_7_4_2", "10.5.1", "Prefix Information without R: no global address, not listed")
def no_address(c, a, b):
    a.advertise(100, router_address=0)
    b.advertise(100)
    listed(c, [b.addr, AGENT], (AGENT, a.addr, b.addr))


@link_case("HA_7_2_10", "10.5.1", "The lifetime in the Home Agent Information option ends: off the list")
def lifetime_ends(c, a, b):
    a.advertise(100, lifetime=2)
    listed(c, [a.addr, AGENT], (AGENT, a.addr))
    ends(c, a)


@link_case("HA_7_2_11", "10.5.1", "The router lifetime ends, without Home Agent Information option: off the list")
def router_lifetime_ends(c, a, b):
    a.advertise(router_lifetime=2)
    listed(c, [AGENT, a.addr], (AGENT, a.addr))
    ends(c, a)


def ends(c, a):
    for _ in range(40):
        if a.addr not in discover(c):
            return
        time.sleep(0.5)
    c.check(False, "still listed long after its lifetime")


@link_case("HA_7_2_12", "10.5.1", "A later advertisement changes the preference")
def preference_changes(c, a, b):
    a.advertise(100)
    listed(c, [a.addr, AGENT], (AGENT, a.addr))
    a.advertise(1)
    listed(c, [AGENT, a.addr], (AGENT, a.addr))


@link_case("HA_7_2_13", "10.5.1", "A later advertisement changes the lifetime")
def lifetime_changes(c, a, b):
    a.advertise(100, lifetime=1800)
    listed(c, [a.addr, AGENT], (AGENT, a.addr))
    a.advertise(100, lifetime=2)
    ends(c, a)


@link_case("HA_7_2_15", "10.5.1", "A home agent with several global addresses: all listed")
def several_addresses(c, a, b):
    second = "2001:db8:9::aa:1"
    a.advertise(100, addresses=[a.addr, second])
    listed(c, [a.addr, second, AGENT], (AGENT, a.addr, second))


ORDERS = (
    ("HA_7_2_3", "this, A, B", 5, 3), ("HA_7_2_4", "this, B, A", 3, 5), ("HA_7_2_5", "A, this, B", 20, 3),
    ("HA_7_2_6", "B, this, A", 3, 20), ("HA_7_2_7", "A, B, this", 30, 20), ("HA_7_2_8", "B, A, this", 20, 30),
)


def ordered(c, a, b, first, second):
    a.advertise(first)
    b.advertise(second)
    want = [addr for _, addr in sorted(((PREFERENCE, AGENT), (first, a.addr), (second, b.addr)), reverse=True)]
    listed(c, want, (AGENT, a.addr, b.addr))


for ident, text, first, second in ORDERS:
    link_case(ident, "10.5", "Three home agents, by preference: " + text, first, second)(ordered)


@link_case("HA_7_2_14", "10.5", "Two of equal preference: in random order")
def equal(c, a, b):
    a.advertise(50)
    b.advertise(50)
    seen = set()
    for _ in range(60):
        got = [x for x in discover(c) if x in (a.addr, b.addr)]
        if len(got) == 2:
            seen.add(tuple(got))
        if len(seen) == 2:
            return
    c.check(False, "the order is always %s" % seen)


@real.case("HA_7_5_1", "10.5", "More home agents than fit: the reply keeps within 1280 octets", alone=True)
def flood(c):
    others = [OtherAgent(c, 100 + i) for i in range(100)]
    try:
        for o in others:
            o.advertise(1000)
        most = []
        for _ in range(20):
            most = discover(c)
            if len(most) >= 70:
                break
            time.sleep(0.2)
        c.check(70 <= len(most) <= 77, "%d addresses" % len(most))
        c.check(AGENT not in most, "one that is preferred had to leave")
    finally:
        for o in others:
            o.leave()


@real.case("10.5.1/1", "10.5.1", "Router advertisement with hop limit 254, or from a global address: ignored", alone=True)
def forwarded_advertisement(c):
    a = OtherAgent(c, 3)
    ra = IPv6(src=a.local, dst="ff02::1", hlim=254) / ICMPv6ND_RA(H=1, routerlifetime=1800) / ICMPv6NDOptPrefixInfo(prefix=a.addr, prefixlen=64, R=1)
    c.send(ra, dst_mac=multicast_mac("ff02::1"))
    ra[IPv6].hlim, ra[IPv6].src = 255, a.addr
    c.send(ra, dst_mac=multicast_mac("ff02::1"))
    b = OtherAgent(c, 4)
    b.advertise(100)
    try:
        listed(c, [b.addr, AGENT], (AGENT, a.addr, b.addr))
    finally:
        b.leave()


# The home agent's own advertisements (§7, §8.4)


@real.case("7.1/1", "7.4", "Router Solicitation: answered with H flag, Home Agent Information option, prefix with R flag and the own address")
def own_advertisement(c):
    c.send(IPv6(src="fe80::5", dst="ff02::2", hlim=255) / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=c.wire.mac), dst_mac=multicast_mac("ff02::2"))
    v = c.expect("Router Advertisement", lambda v: v if v.icmp(134) else None)
    ra = ICMPv6ND_RA(v.payload)
    c.check(v.src.startswith("fe80::") and v.dst == "ff02::1" and v.hop_limit == 255, "from %s to %s, hop limit %d" % (v.src, v.dst, v.hop_limit))
    c.check(v.checksum_right(), "wrong checksum")
    c.check(ra.H == 1 and ra.routerlifetime == 0, "H %d, router lifetime %d" % (ra.H, ra.routerlifetime))
    info = ra.getlayer(ICMPv6NDOptHAInfo)
    c.check(info is not None and info.pref == PREFERENCE and info.lifetime > 0, "Home Agent Information option %s" % (info and (info.pref, info.lifetime),))
    prefix = ra.getlayer(ICMPv6NDOptPrefixInfo)
    c.check(prefix is not None and prefix.R == 1 and prefix.prefix == AGENT and prefix.prefixlen == 64, "Prefix Information %s" % (prefix and prefix.prefix))
    c.check(prefix.validlifetime == VALID, "valid lifetime %d" % prefix.validlifetime)


# 9. Mobile prefix discovery


def solicit_prefixes(c, m, reserved=0):
    ident = c.random.randrange(65536)
    c.send(IPv6(src=m.care_of, dst=AGENT, hlim=64) / home_address_option(m.home) / ICMPv6MPSol(id=ident, res=reserved))
    return ident


def prefix_advertisement(c, reserved, lifetimes):
    m = MobileNode(c)
    granted = m.register(lifetime=0xFFFF if lifetimes else 15).lifetime * 4
    ident = solicit_prefixes(c, m, reserved)
    v = c.expect("Mobile Prefix Advertisement", lambda v: v if v.icmp(147) and v.dst == m.care_of else None)
    a = ICMPv6MPAdv(v.payload)
    c.check(v.src == AGENT and v.routing_home == m.home, "from %s, routing header %s" % (v.src, v.routing_home))
    c.check(a.id == ident, "identifier %d, want %d" % (a.id, ident))
    c.check(v.checksum_right(), "wrong checksum")
    p = a.getlayer(ICMPv6NDOptPrefixInfo)
    c.check(p is not None and p.R == 1 and p.prefix == AGENT and p.prefixlen == 64, "Prefix Information %s" % (p and p.prefix))
    c.check(0 < p.preferredlifetime <= p.validlifetime == VALID, "lifetimes %d and %d" % (p.preferredlifetime, p.validlifetime))
    c.check(granted <= p.validlifetime, "the binding lives for %d s, the prefix for %d" % (granted, p.validlifetime))


for g, ids in ((real, ("HA_8_1_1", "HA_8_1_15", "HA_8_1_7")), (virtual, ("HA_8_1_2", "HA_8_1_16", "HA_8_1_8"))):
    g.case(ids[0], "10.6.2", "Mobile Prefix Solicitation of a registered mobile node: advertisement to its care-of address, with type 2 routing header", 0, False)(prefix_advertisement)
    g.case(ids[1], "6.7", "Reserved bits set in the solicitation: ignored", 0xFFFF, False)(prefix_advertisement)
    g.case(ids[2], "10.6.3", "The binding lives no longer than the prefix that is advertised", 0, True)(prefix_advertisement)


def unregistered_solicitation(c):
    m = MobileNode(c)
    solicit_prefixes(c, m)
    c.never("a Mobile Prefix Advertisement", lambda v: v.icmp(147) and v.dst in (m.care_of, m.home), m.fence)


for g, ident in zip(BOTH, ("HA_8_1_3", "HA_8_1_4")):
    g.case(ident, "10.6.2", "Mobile Prefix Solicitation without a registration: not answered")(unregistered_solicitation)


def binding_and_prefix(c):
    """§10.3.1: the binding's lifetime is at most the prefix's."""
    m = MobileNode(c)
    ba = m.register(lifetime=0xFFFF)
    c.check(ba.lifetime * 4 <= VALID, "granted %d s, the prefix is valid for %d" % (ba.lifetime * 4, VALID))


real.case("HA_2_1_9", "10.3.1", "A registration is granted for no longer than the home prefix is valid")(binding_and_prefix)

_ = struct
