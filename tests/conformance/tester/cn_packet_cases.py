"""Correspondent node: packets to and from a mobile node (RFC 6275 §9.3)."""

from cn_setup import NODE, MobileNode, bound, cn
from mip6 import BE, HAO, IPv6, echo_request, home_address_option, routing_header
from scapy.layers.inet6 import IPv6ExtHdrDestOpt


@cn.case("9.3.1/1", "9.3.3", "Home Address option without a binding: Binding Error, status 1")
def no_binding(c):
    MobileNode(c).is_unbound()


@cn.case("9.3.1/2", "9.3.1", "Home Address option from another care-of address than the binding's: Binding Error")
def wrong_care_of(c):
    m = bound(c)
    v = m.echo(m.other_care_of)
    c.check(v.mobility(BE), "a Home Address option with a wrong care-of address is believed")
    m.is_bound()


@cn.case("CN-6-3-2", "9.3.1", "Home Address option with a multicast address: dropped, not answered")
def multicast_home(c):
    m = MobileNode(c)
    c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / home_address_option("ff0e::1") / echo_request(1))
    m.silence("an answer to a multicast home address")


@cn.case("9.3.1/3", "9.3.1", "Home Address option with a link-local address: dropped, not answered")
def link_local_home(c):
    m = MobileNode(c)
    c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / home_address_option("fe80::1") / echo_request(1))
    m.silence("an answer to a link-local home address")


@cn.case("9.3.1/4", "6.3", "Two Home Address options: not believed")
def two_options(c):
    m = bound(c)
    c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / IPv6ExtHdrDestOpt(options=[HAO(hoa=m.home), HAO(hoa=m.home)]) / echo_request(7))
    c.never("an Echo Reply", lambda v: v.icmp(129) and v.dst in (m.care_of, m.home), m.fence)


@cn.case("9.3.2/1", "9.3.2", "With a binding, packets carry a type 2 routing header and a checksum over the home address")
def routed(c):
    m = bound(c)
    m.is_bound()


@cn.case("9.3.2/2", "6.4", "A type 2 routing header that comes in: not followed")
def incoming_routing_header(c):
    m = bound(c)
    c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / routing_header(m.home) / echo_request(9))
    c.never("a packet that was sent on", lambda v: v.icmp(128) or v.icmp(129) and v.payload[4:6] == b"\0\x09", m.fence)
