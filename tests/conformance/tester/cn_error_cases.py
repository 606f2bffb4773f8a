"""Correspondent node: ICMPv6 errors about what it routes to a mobile node
(RFC 6275 §9.3.4).
"""

import time

from cn_setup import NODE, ROUTER, bound, cn
from mip6 import BE, IPv6, echo_request, home_address_option
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6PacketTooBig


@cn.case("CN-6-1", "9.3.4", "Persistent ICMPv6 Destination Unreachable for the care-of address: binding deleted")
def unreachable(c):
    m = bound(c)
    for _ in range(40):
        v = m.echo()
        if v.mobility(BE):
            return
        quoted = v.data
        c.send(IPv6(src=ROUTER, dst=NODE, hlim=64) / ICMPv6DestUnreach(code=3) / quoted)
        time.sleep(0.5)
    c.check(False, "the binding stays")


@cn.case("9.3.4/1", "9.3.4", "A single ICMPv6 Destination Unreachable: the binding stays")
def unreachable_once(c):
    m = bound(c)
    v = m.echo()
    c.send(IPv6(src=ROUTER, dst=NODE, hlim=64) / ICMPv6DestUnreach(code=3) / v.data)
    m.fence()
    c.mark()
    m.is_bound()


@cn.case("9.3.4/2", "9.3.4", "ICMPv6 Packet Too Big for the care-of address: later packets fit")
def too_big(c):
    m = bound(c)
    big = b"x" * 1380

    def ask(ident):
        c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / home_address_option(m.home) / echo_request(ident, data=big))
        return c.expect("Echo Reply or fragment", lambda v: v if v.dst == m.care_of and v.routing_home == m.home else None)

    v = ask(1)
    c.check(len(v.data) > 1300, "the first answer has %d octets: nothing to make smaller" % len(v.data))
    c.send(IPv6(src=ROUTER, dst=NODE, hlim=64) / ICMPv6PacketTooBig(mtu=1300) / v.data[:1200])
    m.fence()
    c.mark()
    for i in range(20):
        v = ask(2 + i)
        c.mark()
        if len(v.data) <= 1300:
            return
    c.check(False, "answers of %d octets on a path of 1300" % len(v.data))
