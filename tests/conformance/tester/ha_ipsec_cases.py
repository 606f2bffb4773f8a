"""Home agent where nobody registers in clear (RFC 6275 §5.1, RFC 3776,
RFC 4303)."""

from case import Group
from ha_ipsec import CBC, GCM, ProtectedNode, protected_test, unprotected_init, unprotected_update
from ha_setup import MobileNode
from mip6 import HOTI

required = Group("home-agent, IPsec required")

required.case("5.1/1", "5.1", "Binding Update in clear, for a home address with keys: dropped", 3)(unprotected_update)


@required.case("5.1/2", "5.1", "Binding Update in clear, for a home address without keys: dropped")
def no_keys(c):
    m = MobileNode(c)
    m.send_update()
    c.never("an answer", lambda v: v.dst == m.care_of, ProtectedNode(c, 5).fence)
    m.is_unbound()


def life(c, pair, algorithm):
    m = ProtectedNode(c, pair)
    c.check(m.keys.algorithm == algorithm, "the keys are for %s" % m.keys.algorithm)
    ba = m.register()
    c.check(ba.lifetime == 15, "lifetime %d units, want 15" % ba.lifetime)
    m.is_bound()
    m.is_tunnelled()
    m.register(lifetime=20)
    ba = m.register(lifetime=0)
    c.check(ba.lifetime == 0, "lifetime %d after the de-registration" % ba.lifetime)
    m.is_unbound()


required.case("5.1/3", "5.1", "Registered, refreshed, de-registered in ESP, AES-GCM (RFC 4106): acknowledged in ESP", 7, GCM)(life)
required.case("5.1/4", "5.1", "The same, AES-CBC with HMAC-SHA-256 (RFC 3602, RFC 4868)", 2, CBC)(life)


@required.case("5.1/5", "9.5.1", "Old number, in ESP: refused in ESP, status 135")
def old_number(c):
    m = ProtectedNode(c, 9)
    m.register(seq=20)
    m.send_update(seq=19)
    m.acknowledged(135, seq=20)
    m.is_bound()


def forged(c, pair, forge):
    """What is no word of this mobile node is dropped in silence; its own is
    taken then."""
    m = ProtectedNode(c, pair)
    c.send(forge(c, m, m.update(seq=100)))
    m.silence("an answer to a forgery")
    m.is_unbound()
    m.register(seq=20)
    m.is_bound()


def damaged(_, m, update):
    packet = bytearray(m.keys.bu.seal(update))
    packet[-20] ^= 1  # encrypted, in front of the integrity check value
    return bytes(packet)


def unknown_spi(_, m, update):
    packet = bytearray(m.keys.bu.seal(update))
    spi = packet.index(m.keys.bu.spi.to_bytes(4, "big"))
    packet[spi : spi + 4] = b"\xff\xff\xff\xfe"
    return bytes(packet)


def keys_of_another(c, _, update):
    return ProtectedNode(c, 23).keys.bu.seal(update)


def tunnel_keys(_, m, update):
    """In transport mode, with the association that is for Home Test Inits."""
    m.keys.hoti.sa.tunnel_header = None
    return m.keys.hoti.seal(update)


for ident, section, title, pair, forge in (
    ("5.1/6", "RFC 4303 §3.4.4", "Binding Update in ESP, one bit changed, AES-GCM: dropped", 11, damaged),
    ("5.1/7", "RFC 4303 §3.4.4", "The same, AES-CBC with HMAC-SHA-256", 4, damaged),
    ("5.1/8", "RFC 4303 §3.4.2", "Binding Update in ESP with an unknown SPI: dropped", 13, unknown_spi),
    ("5.1/9", "5.1", "Binding Update in ESP with the keys of another mobile node: dropped", 15, keys_of_another),
):
    required.case(ident, section, title, pair, forge)(forged)


@required.case("5.1/10", "RFC 3776 §4.2", "Binding Update in ESP with the association for Home Test Inits: dropped")
def wrong_association(c):
    m = ProtectedNode(c, 17)
    m.register(seq=20)  # the association is used by nobody who is not registered
    c.send(tunnel_keys(c, m, m.update(seq=100)))
    m.silence("an answer to a forgery")
    m.register(seq=21)  # refused if 100 had been taken
    m.is_bound()


def replayed(c, pair):
    m = ProtectedNode(c, pair)
    packet = m.keys.bu.seal(m.update())
    c.send(packet)
    m.acknowledged(0)
    m.register(lifetime=0)
    c.send(packet)
    m.silence("an answer to a copy")
    m.is_unbound()


required.case("5.1/11", "RFC 4303 §3.4.3", "A copy of an earlier packet in ESP: dropped", 19)(replayed)


@required.case("5.1/12", "RFC 3776 §3.1", "Alternate Care-of Address that is not the mobile node's with these keys: dropped")
def other_care_of(c):
    m = ProtectedNode(c, 21)
    m.send_update(src=m.other_care_of)
    m.silence("an answer", m.other_care_of)
    m.is_unbound(m.other_care_of)


required.case("10.4.6/1", "10.4.6", "Home Test Init in clear through the tunnel: dropped; in ESP: sent on", 25)(unprotected_init)
required.case("10.4.6/2", "10.4.6", "The same, AES-CBC with HMAC-SHA-256", 6)(unprotected_init)
required.case("10.4.6/3", "10.4.6", "Home Test: in the ESP tunnel only", 27)(protected_test)
required.case("10.4.6/4", "10.4.6", "The same, AES-CBC with HMAC-SHA-256", 8)(protected_test)


@required.case("10.4.6/5", "10.4.5", "Home Test Init in ESP, not registered: dropped")
def unregistered_init(c):
    m = ProtectedNode(c, 29)
    cookie = c.cookie()
    c.send(m.keys.hoti.seal(m.init(cookie)))
    c.never("a Home Test Init of nobody", lambda v: v.mobility(HOTI) and v.dst == m.correspondent, m.fence)


@required.case("10.4.6/6", "10.4.5", "Home Test Init in ESP, from another's home address: dropped")
def foreign_init(c):
    m, other = ProtectedNode(c, 31), ProtectedNode(c, 33)
    m.register()
    c.send(m.keys.hoti.seal(other.init(c.cookie())))
    c.never("a Home Test Init in another's name", lambda v: v.mobility(HOTI) and v.dst == other.correspondent, m.fence)
