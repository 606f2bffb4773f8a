"""Home agent: the home link and the tunnel (RFC 6275 §10.4)."""

import struct

from ha_cases import both, real, virtual
from ha_ipsec import protected_test, unprotected_init
from ha_setup import AGENT, ROUTER, MobileNode, advertised, claim, not_advertised, probed, solicit
from mip6 import IPv6, View, echo_request, hoti
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6ND_NA, ICMPv6PacketTooBig, ICMPv6TimeExceeded, MIP6MH_HoT
from wire import multicast_mac

# 4.1. Multicast Neighbor Advertisements


def told(c, flags):
    m = MobileNode(c)
    m.register(flags=flags)
    c.start = 0
    for target in [m.home] + ([m.local] if "L" in flags else []):
        na = advertised(c, target, "ff02::1")
        c.check(na.O == 1 and na.S == 0 and na.R == 0, "flags of the advertisement: override %d, solicited %d, router %d" % (na.O, na.S, na.R))


real.case("HA_4_1_1", "10.4.1", "Registered, L clear: the neighbours are told that the home address is here", "AH")(told)
real.case("HA_4_1_2", "10.4.1", "Registered, L set: so they are of the link-local address", "AHL")(told)

# 4.2 to 4.5. Proxy neighbour discovery

MULTICAST, UNICAST, BARE, DAD = "solicitation to the group", "solicitation to the home agent's link-layer address", "such without a source address option", "duplicate address detection"


def ask(c, m, target, how):
    """Asks for the target; where the answer would go."""
    if how == MULTICAST:
        return solicit(c, target)
    if how == DAD:
        solicit(c, target, src="::")
        return "ff02::1"
    return solicit(c, target, to=c.wire.nut_mac, source_address=how == UNICAST)


def proxied(c, flags, local, how):
    m = MobileNode(c)
    m.register(flags=flags)
    target = m.local if local else m.home
    if how == DAD:
        own_advertisements(c, m, target)  # they look the same
    c.mark()
    na = advertised(c, target, ask(c, m, target, how), complete=how in (MULTICAST, DAD))
    c.check(na.R == 0, "the mobile node is called a router")
    if how != DAD:
        c.check(na.S == 1, "the advertisement does not call itself solicited")
        c.check(na.O == 0, "a proxy overrides (RFC 4861 §7.2.8)")


def own_advertisements(c, m, target):
    """The three that a registration itself sends (§10.4.1)."""
    c.start = 0
    for _ in range(3):
        c.expect_frame("advertisement of the registration", lambda f: mine(f, m) and ICMPv6ND_NA(f.data[54:]).tgt == target)


def mine(f, m):
    v = View(f.data[14:])
    return v if v.icmp(136) and ICMPv6ND_NA(v.payload).tgt in (m.home, m.local) else None


def not_proxied(c, flags, local, how, leave):
    """No answer: because the mobile node has left, or it was never for it."""
    m = MobileNode(c)
    m.register(flags=flags)
    if leave:
        m.send_update(lifetime=0)
        m.acknowledged(0)
    c.mark()
    target = m.local if local else m.home
    if how == DAD:
        ask(c, m, target, how)
        never_claimed(c, target)
        return
    to = ask(c, m, target, how)
    not_advertised(c, target, to)


def never_claimed(c, target):
    def until():
        other = "2001:db8:9::3:%x" % c.n
        solicit(c, AGENT, src=other)
        advertised(c, AGENT, other)

    c.never("an answer to duplicate address detection", lambda v: v.icmp(136) and v.dst == "ff02::1" and ICMPv6ND_NA(v.payload).tgt == target, until)


def stray(c, flags, local, how):
    """A target that is nobody's, with the registered interface identifier's
    group."""
    m = MobileNode(c)
    m.register(flags=flags)
    c.mark()
    target = ("fe80::77:1:%x" if local else "2001:db8:9::77:1:%x") % m.n
    if how == DAD:
        ask(c, m, target, how)
        never_claimed(c, target)
        return
    not_advertised(c, target, ask(c, m, target, how))


WAYS = (MULTICAST, UNICAST, BARE, DAD)


def quad(ids, prefix, title, run, *args):
    for number, how in zip(ids, WAYS):
        real.case("%s%d" % (prefix, number), "10.4.1", title % how, *args[:2], how, *args[2:])(run)


quad((1, 2, 13, 3), "HA_4_2_", "Proxy for the home address, L clear: %s answered", proxied, "AH", False)
quad((4, 5, 14, 6), "HA_4_2_", "Proxy for the home address, L set: %s answered", proxied, "AHL", False)
quad((7, 8, 15, 9), "HA_4_2_", "Proxy for the link-local address, L set: %s answered", proxied, "AHL", True)
quad((1, 2, 13, 3), "HA_4_4_", "De-registered, L clear: %s for the home address not answered", not_proxied, "AH", False, True)
quad((4, 5, 14, 6), "HA_4_4_", "De-registered, L set: %s for the home address not answered", not_proxied, "AHL", False, True)
quad((7, 8, 15, 9), "HA_4_4_", "De-registered, L set: %s for the link-local address not answered", not_proxied, "AHL", True, True)
quad((10, 11, 16, 12), "HA_4_2_", "L clear: %s for the link-local address not answered", not_proxied, "AH", True, False)
quad((1, 2, 13, 3), "HA_4_3_", "L clear: %s for a global address that nobody registered, not answered", stray, "AH", False)
quad((10, 11, 16, 12), "HA_4_3_", "L clear: %s for a link-local address that nobody has, not answered", stray, "AH", True)
quad((4, 5, 14, 6), "HA_4_3_", "L set: %s for a global address that nobody registered, not answered", stray, "AHL", False)
quad((7, 8, 15, 9), "HA_4_3_", "L set: %s for a link-local address that nobody has, not answered", stray, "AHL", True)


@real.case("10.4.1/1", "10.4.1", "A neighbour claims a registered home address: the neighbours are told again where it is")
def defended(c):
    m = MobileNode(c)
    m.register()
    own_advertisements(c, m, m.home)
    other_mac = "02:ab:cd:ef:%02x:%02x" % (m.n >> 8 & 255, m.n & 255)
    c.send(IPv6(src=m.home, dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt=m.home, R=0, S=0, O=1) / option(other_mac), dst_mac=multicast_mac("ff02::1"))
    na = advertised(c, m.home, "ff02::1")
    c.check(na.O == 1, "the defence does not override")


def option(mac):
    from scapy.layers.inet6 import ICMPv6NDOptDstLLAddr

    return ICMPv6NDOptDstLLAddr(lladdr=mac)


# 5. Intercepted packets


def tunnelled(c, moved):
    m = MobileNode(c)
    m.register()
    m.is_tunnelled()
    if moved:
        m.register(src=m.other_care_of)
        m.is_tunnelled(m.other_care_of)


both("HA_5_1_1", "HA_5_1_5", "10.4.2", "A correspondent's packet: tunnelled to the care-of address", False)(tunnelled)
both("HA_5_1_4", "HA_5_1_6", "10.4.2", "After a handover: tunnelled to the new care-of address", True)(tunnelled)


@real.case("HA_5_1_2", "10.4.2", "Packet for the mobile node's link-local address: not tunnelled, ICMPv6 Destination Unreachable, code 3")
def link_local(c):
    m = MobileNode(c)
    m.register(flags="AHL")
    src = "fe80::2:%x" % m.n
    c.wire.present.add(src)
    c.send(IPv6(src=src, dst=m.local, hlim=64) / echo_request(m.n & 0xFFFF))
    v = c.expect("ICMPv6 Destination Unreachable", lambda v: v if v.icmp(1) and v.dst == src else None)
    c.check(v.payload[1] == 3, "code %d, want 3" % v.payload[1])
    c.check(v.checksum_right(), "wrong checksum")
    c.never("a tunnelled packet", lambda v: v.inner() and v.dst == m.care_of, m.fence)


def relayed_error(c):
    """An error about a packet of the mobile node, sent to its home address, is
    tunnelled to it like any packet."""
    m = MobileNode(c)
    m.register()
    about = IPv6(src=m.home, dst=m.correspondent, hlim=60) / echo_request(9, data=b"unreachable?")
    c.send(IPv6(src=m.care_of, dst=AGENT, hlim=64) / about)
    sent = c.expect("packet out of the tunnel", lambda v: v if v.icmp(128) and v.src == m.home and v.dst == m.correspondent else None)
    c.send(IPv6(src=m.correspondent, dst=m.home, hlim=64) / ICMPv6DestUnreach(code=1) / sent.data)

    def match(v):
        i = v.inner()
        return i if i and v.dst == m.care_of and i.icmp(1) else None

    i = c.expect("ICMPv6 error in the tunnel", match)
    c.check(i.src == m.correspondent and i.dst == m.home, "the error is from %s to %s" % (i.src, i.dst))
    c.check(i.payload[8:] == sent.data, "the error does not quote what was sent")
    c.check(i.checksum_right(), "wrong checksum")


real.case("HA_5_1_3", "10.4.2", "ICMPv6 error for the home address: tunnelled to the mobile node")(relayed_error)
virtual.case("HA_5_1_7", "10.4.2", "ICMPv6 error for the home address: tunnelled to the mobile node")(relayed_error)


def tunnel_fails(c, error):
    """An error from within the tunnel is told to the packet's own source."""
    m = MobileNode(c)
    m.register()
    data = b"lost on the way %d" % m.n
    m.echo_from_correspondent(data)
    v = c.expect("tunnelled packet", lambda v: v if v.inner() and v.inner().payload.endswith(data) else None)
    router = "2001:db8:1:%x::1" % m.n
    c.mark()
    c.send(IPv6(src=router, dst=AGENT, hlim=64) / error() / v.data)
    e = c.expect("ICMPv6 error to the correspondent", lambda v: v if v.dst == m.correspondent and (v.icmp(1) or v.icmp(2)) else None)
    c.check(e.src == AGENT, "the error is from %s" % e.src)
    c.check(e.checksum_right(), "wrong checksum")
    quoted = View(e.payload[8:] + b"\0" * 40)
    c.check((quoted.src, quoted.dst) == (m.correspondent, m.home), "the error quotes a packet from %s to %s" % (quoted.src, quoted.dst))
    return e


@both("10.4.2/1", None, "RFC 2473 §8", "The tunnel's way is unreachable: the correspondent is told, about its own packet")
def tunnel_unreachable(c):
    e = tunnel_fails(c, lambda: ICMPv6DestUnreach(code=0))
    c.check(e.icmp(1) and e.payload[1] == 3, "type %d code %d, want 1 and 3 (RFC 2473 §8.2)" % (e.payload[0], e.payload[1]))


@both("10.4.2/2", None, "RFC 2473 §8", "Hop limit exceeded within the tunnel: the correspondent is told that the address is unreachable")
def tunnel_hop_limit(c):
    e = tunnel_fails(c, lambda: ICMPv6TimeExceeded(code=0))
    c.check(e.icmp(1) and e.payload[1] == 3, "type %d code %d, want 1 and 3" % (e.payload[0], e.payload[1]))


@both("10.4.2/3", None, "RFC 2473 §7.1", "Packet too big for the tunnel: ICMPv6 Packet Too Big to the correspondent, with what fits the tunnel")
def too_big(c):
    m = MobileNode(c)
    m.register()
    m.echo_from_correspondent(b"x" * 1440)  # 1488 octets: 1528 with the tunnel's header
    e = c.expect("ICMPv6 Packet Too Big", lambda v: v if v.icmp(2) and v.dst == m.correspondent else None)
    mtu = struct.unpack("!I", e.payload[4:8])[0]
    c.check(mtu == 1460, "MTU %d, want 1460" % mtu)
    c.check(e.checksum_right(), "wrong checksum")


@both("10.4.2/4", None, "10.4.2", "Multicast and link-local sources are not tunnelled")
def link_local_source(c):
    m = MobileNode(c)
    m.register()
    c.send(IPv6(src="fe80::5:%x" % m.n, dst=m.home, hlim=64) / echo_request(1))
    c.never("a tunnelled packet", lambda v: v.inner() and v.dst == m.care_of, m.fence)


# 6. Reverse tunnel


def reverse(c, moved):
    m = MobileNode(c)
    m.register()
    care_of = m.care_of
    if moved:
        m.register(src=m.other_care_of)
        care_of = m.other_care_of
    data = b"reverse %d" % m.n
    c.send(IPv6(src=care_of, dst=AGENT, hlim=64) / IPv6(src=m.home, dst=m.correspondent, hlim=60) / echo_request(3, data=data))
    v = c.expect("packet out of the tunnel", lambda v: v if v.icmp(128) and v.payload.endswith(data) and not v.inner() else None)
    c.check((v.src, v.dst) == (m.home, m.correspondent), "from %s to %s" % (v.src, v.dst))
    c.check(v.hop_limit == 59, "hop limit %d, want 59" % v.hop_limit)
    c.check(v.checksum_right(), "wrong checksum")


both("HA_6_1_1", "HA_6_1_3", "10.4.5", "A packet in the reverse tunnel: sent on to the correspondent", False)(reverse)
both("HA_6_1_2", "HA_6_1_4", "10.4.5", "After a handover: taken from the new care-of address", True)(reverse)


def forged_tunnel(c):
    m = MobileNode(c)
    m.register()
    data = b"forged %d" % m.n
    c.send(IPv6(src=m.other_care_of, dst=AGENT, hlim=64) / IPv6(src=m.home, dst=m.correspondent, hlim=60) / echo_request(3, data=data))
    c.never("a packet out of a tunnel from elsewhere", lambda v: v.icmp(128) and v.payload.endswith(data), m.fence)


both("HA_6_2_1", "HA_6_2_2", "10.4.5", "Reverse tunnel from another than the registered care-of address: dropped")(forged_tunnel)


@both("10.4.5/1", None, "10.4.5", "Reverse tunnel of a home address that is not registered: dropped")
def unregistered_tunnel(c):
    m = MobileNode(c)
    data = b"unregistered %d" % m.n
    c.send(IPv6(src=m.care_of, dst=AGENT, hlim=64) / IPv6(src=m.home, dst=m.correspondent, hlim=60) / echo_request(3, data=data))
    c.never("a packet out of nobody's tunnel", lambda v: v.icmp(128) and v.payload.endswith(data), m.fence)


# 7. Return routability through the home agent


def home_test_init(c, moved):
    m = MobileNode(c)
    m.register()
    care_of = m.care_of
    if moved:
        m.register(src=m.other_care_of)
        care_of = m.other_care_of
    cookie = c.cookie()
    c.send(IPv6(src=care_of, dst=AGENT, hlim=64) / IPv6(src=m.home, dst=m.correspondent, hlim=60) / hoti(cookie))
    v = c.expect("Home Test Init out of the tunnel", lambda v: v if v.mobility(1) and v.payload[8:16] == cookie and v.dst == m.correspondent else None)
    c.check(v.src == m.home and v.checksum_right(), "from %s" % v.src)


def home_test(c, moved):
    m = MobileNode(c)
    m.register()
    care_of = m.care_of
    if moved:
        m.register(src=m.other_care_of)
        care_of = m.other_care_of
    cookie = c.cookie()
    c.send(IPv6(src=m.correspondent, dst=m.home, hlim=64) / MIP6MH_HoT(res=0, index=3, cookie=cookie, token=b"12345678"))

    def match(v):
        i = v.inner()
        return v if i and i.mobility(3) and i.payload[8:16] == cookie else None

    v = c.expect("Home Test in the tunnel", match)
    c.check((v.src, v.dst) == (AGENT, care_of), "the tunnel is from %s to %s" % (v.src, v.dst))
    c.check(v.inner().checksum_right(), "wrong checksum")


both("HA_6_3_1", "HA_6_3_5", "10.4.6", "Home Test Init in the reverse tunnel: sent on to the correspondent", False)(home_test_init)
both("HA_6_3_2", "HA_6_3_6", "10.4.6", "After a handover: Home Test Init taken from the new care-of address", True)(home_test_init)
both("HA_6_3_3", "HA_6_3_7", "10.4.6", "Home Test for the home address: tunnelled to the mobile node", False)(home_test)
both("HA_6_3_4", "HA_6_3_8", "10.4.6", "After a handover: Home Test tunnelled to the new care-of address", True)(home_test)
both("HA_6_3_9", "HA_6_3_10", "10.4.6", "Home Test Init without the IPsec tunnel that it needs: dropped; in it: sent on", 5)(unprotected_init)
both("10.4.6/1", "10.4.6/1", "10.4.6", "Home Test for a home address with keys: in the IPsec tunnel only", 7)(protected_test)

_ = (ICMPv6PacketTooBig, ROUTER, claim, probed)
