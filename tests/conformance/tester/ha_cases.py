"""Home agent: registration, de-registration, and Mobility Headers that are
wrong (RFC 6275 §9.2, §10.2, §10.3). Ids are those of the IPv6 Ready Phase-2
self-test for home agents (TAHI mipv6-ha), whose groups come once for a real
and once for a virtual home link.
"""

import time

from case import Group
from ha_ipsec import unprotected_update
from ha_setup import AGENT, MobileNode, claim, probed
from judge import binding_error, parameter_problem
from mip6 import BE, IPv6, alternate, echo_request, home_address_option, nonces
from scapy.layers.inet6 import MIP6MH_Generic, MIP6OptUnknown

real = Group("home-agent")
virtual = Group("home-agent, virtual home link")
BOTH = (real, virtual)


def both(real_id, virtual_id, section, title, *args, **kwargs):
    """Declares a case for the real home link and for the virtual one; an id may
    be None where the specification has no such case."""

    def register(run):
        if real_id:
            real.case(real_id, section, title, *args, **kwargs)(run)
        if virtual_id:
            virtual.case(virtual_id, section, title, *args, **kwargs)(run)
        return run

    return register


# 1. Processing Mobility Headers


@both("HA_1_1_3", "HA_1_1_8", "9.2", "Binding Update with a wrong checksum: dropped in silence")
def wrong_checksum(c):
    m = MobileNode(c)
    packet = m.update()
    data = bytearray(bytes(packet))
    data[-1] ^= 1  # in the alternate care-of address: the checksum no longer fits
    c.send(bytes(data))
    m.silence("an answer to a wrong checksum")


def unknown_type(c, bound):
    m = MobileNode(c)
    if bound:
        m.register()
    c.send(IPv6(src=m.care_of, dst=AGENT, hlim=64) / home_address_option(m.home) / MIP6MH_Generic(mhtype=200, res=0, msg=b"\0\0"))
    binding_error(c, m.care_of, m.home)


real.case("HA_1_1_1", "9.2", "Unrecognized MH Type: Binding Error, status 2", False)(unknown_type)
real.case("HA_1_1_5", "9.2", "Unrecognized MH Type from a registered mobile node", True)(unknown_type)


def piggybacking(c, bound):
    m = MobileNode(c)
    if bound:
        m.register()
    packet = m.update(nh=58)
    parameter_problem(c, m.care_of, packet, 0)


real.case("HA_1_1_2", "9.2", "Payload Proto is not 59: ICMPv6 parameter problem, pointing at it", False)(piggybacking)
real.case("HA_1_1_6", "9.2", "Payload Proto is not 59, from a registered mobile node", True)(piggybacking)
virtual.case("HA_1_1_9", "9.2", "Payload Proto is not 59: ICMPv6 parameter problem, pointing at it", False)(piggybacking)


def short_header(c, bound):
    m = MobileNode(c)
    if bound:
        m.register()
    packet = m.update(options=[], autopad=0, len=0)  # a Binding Update has at least 12 octets: Header Len 1
    parameter_problem(c, m.care_of, packet, 1)


real.case("HA_1_1_4", "9.2", "Header Len too small: ICMPv6 parameter problem, pointing at it", False)(short_header)
real.case("HA_1_1_7", "9.2", "Header Len too small, from a registered mobile node", True)(short_header)
virtual.case("HA_1_1_10", "9.2", "Header Len too small: ICMPv6 parameter problem, pointing at it", False)(short_header)


# 2.1. Valid registration


def valid(c, flags):
    m = MobileNode(c)
    ba = m.register(flags=flags)
    c.check(ba.lifetime == 15, "lifetime %d units, want 15" % ba.lifetime)
    m.is_bound()
    m.is_tunnelled()


both("HA_2_1_1", "HA_2_1_5", "10.3.1", "Registration with A set: acknowledged, bound, tunnelled", "AH")(valid)
both("HA_2_1_2", "HA_2_1_6", "10.3.1", "Registration with A clear: acknowledged all the same", "H")(valid)


@both("HA_2_1_14", "HA_2_1_15", "6.1.7", "Reserved bits set in the Binding Update: ignored")
def reserved_bits(c):
    m = MobileNode(c)
    m.send_update(reserved=0x1FF)
    m.acknowledged(0)
    m.is_bound()


@both("HA_2_1_3", "HA_2_1_7", "10.3.1", "A later, shorter lifetime counts")
def decreased_lifetime(c):
    m = MobileNode(c)
    m.register(lifetime=100)
    ba = m.register(lifetime=1)
    c.check(ba.lifetime == 1, "lifetime %d units, want 1" % ba.lifetime)
    expires(c, m)


def expires(c, m):
    """The binding ends: then a Home Address option draws a Binding Error."""
    c.mark()
    ident = 0

    def gone():
        nonlocal ident
        ident += 1
        c.send(IPv6(src=m.care_of, dst=AGENT, hlim=64) / home_address_option(m.home) / echo_request(ident))
        v = c.expect("answer to a Home Address option", lambda v: v if v.dst == m.care_of and (v.icmp(129) or v.mobility(BE)) else None)
        c.mark()
        return v.mobility(BE)

    for _ in range(60):
        if gone():
            return
        time.sleep(0.5)
    c.check(False, "the binding outlives its lifetime by far")


@both("HA_2_1_4", "HA_2_1_8", "10.3.1", "The lifetime ends: no binding, no tunnel")
def lifetime_expires(c):
    m = MobileNode(c)
    m.register(lifetime=1)
    m.is_bound()
    expires(c, m)
    c.never("a tunnelled packet", lambda v: v.dst == m.care_of and v.inner(), lambda: (m.echo_from_correspondent(b"late"), m.fence()))


def key_management(c, flags):
    m = MobileNode(c)
    ba = m.register(flags=flags)
    c.check(not ba.keys, "K is set in the acknowledgement, and no key management moves here")


both("HA_2_1_10", "HA_2_1_12", "10.3.1", "K clear in the update: clear in the acknowledgement", "AH")(key_management)
both("HA_2_1_11", "HA_2_1_13", "10.3.1", "K set, no dynamic key management here: clear in the acknowledgement", "AHK")(key_management)


# 2.2. Invalid registration

both("HA_2_2_3", "HA_2_2_6", "5.1", "Binding Update without the IPsec that it needs: dropped; in ESP: accepted, answered in ESP", 3)(unprotected_update)


@both("HA_2_2_7", "HA_2_2_8", "9.5.1", "Nonce Indices option with H set: dropped in silence")
def nonce_indices(c):
    m = MobileNode(c)
    m.send_update(options=[alternate(m.care_of), nonces(1, 1)])
    m.silence("an answer to Nonce Indices in a home registration")
    m.is_unbound()


def impossible_home(c, home, flags):
    m = MobileNode(c)
    m.send_update(home=home, flags=flags)
    m.silence("an answer to an impossible home address")


both("HA_2_2_13", "HA_2_2_14", "9.5.1", "Multicast home address: dropped in silence", "ff0e::1234", "AH")(impossible_home)
both("HA_2_2_9", "HA_2_2_11", "9.5.1", "Link-local home address, L clear: dropped in silence", "fe80::1234", "AH")(impossible_home)
both("HA_2_2_10", "HA_2_2_12", "9.5.1", "Link-local home address, L set: dropped in silence", "fe80::1234", "AHL")(impossible_home)


def foreign_subnet(c, flags):
    m = MobileNode(c)
    home = "2001:db8:8::%x" % m.n
    m.send_update(home=home, flags=flags)
    m.acknowledged(132, home=home)


both("HA_2_2_1", "HA_2_2_4", "10.3.1", "Home address of another subnet, A set: status 132", "AH")(foreign_subnet)
both("HA_2_2_2", "HA_2_2_5", "10.3.1", "Home address of another subnet, A clear: status 132", "H")(foreign_subnet)


@both("10.3.1/1", None, "10.3.1", "Care-of address that may not register here: status 129")
def not_allowed(c):
    m = MobileNode(c)
    src = "2001:db8:dead:%x::10" % m.n
    m.send_update(src=src)
    m.acknowledged(129, at=src)


@both("10.3.1/2", None, "6.2.5", "The Alternate Care-of Address option counts, not the packet's source")
def alternate_counts(c):
    m = MobileNode(c)
    m.send_update(options=[alternate(m.other_care_of)])
    m.acknowledged(0)
    m.is_tunnelled(m.other_care_of)


@both("10.3.1/3", None, "6.1.7", "Without an Alternate Care-of Address option the packet's source counts")
def source_counts(c):
    m = MobileNode(c)
    m.send_update(options=[])
    m.acknowledged(0)
    m.is_tunnelled()


@both("10.3.1/4", None, "6.2", "Unknown mobility options: skipped, the rest counts")
def unknown_option(c):
    m = MobileNode(c)
    m.send_update(options=[MIP6OptUnknown(otype=120, odata=b"whatever"), alternate(m.other_care_of)])
    m.acknowledged(0)
    m.is_tunnelled(m.other_care_of)


@both("10.3.1/5", None, "9.5.1", "Multicast care-of address: refused")
def multicast_care_of(c):
    m = MobileNode(c)
    m.send_update(options=[alternate("ff0e::77")])
    c.never("an acceptance", lambda v: v.dst == m.care_of and v.payload[2:3] == b"\x06" and v.payload[6] < 128, m.fence)


@both("10.3.1/6", None, "10.3.1", "A longer lifetime than allowed is cut, not refused")
def lifetime_capped(c):
    m = MobileNode(c)
    ba = m.register(lifetime=0xFFFF)
    c.check(0 < ba.lifetime < 0xFFFF, "lifetime %d units" % ba.lifetime)


@both("10.3.1/7", None, "9.5.1", "H clear for a home address that is registered with H set: status 139")
def type_change(c):
    m = MobileNode(c)
    m.register()
    m.send_update(flags="A")
    m.acknowledged(139)
    m.is_bound()


# 2.3, 2.4. Duplicate address detection


def unique(c, flags, foreign_claim):
    m = MobileNode(c)
    m.send_update(flags=flags)
    probed(c, m.home)
    if "L" in flags:
        probed(c, m.local)
    if foreign_claim:
        claim(c, m.local)  # not what is being registered
    m.acknowledged(0)
    m.is_tunnelled()


real.case("HA_2_3_1", "10.3.1", "Duplicate address detection, L clear: nobody has it, accepted", "AH", False)(unique)
real.case("HA_2_3_2", "10.3.1", "Duplicate address detection, L set: link-local address probed, too", "AHL", False)(unique)
real.case("HA_2_3_3", "10.3.1", "L clear, and a neighbour has the link-local address: accepted", "AH", True)(unique)


def duplicate(c, flags, local):
    m = MobileNode(c)
    m.send_update(flags=flags)
    target = m.local if local else m.home
    probed(c, target)
    claim(c, target)
    m.acknowledged(134)
    m.is_unbound()


for ident, flags, local, title in (
    ("HA_2_4_1", "AH", False, "A neighbour has the home address (A set, L clear): status 134"),
    ("HA_2_4_4", "H", False, "A neighbour has the home address (A clear, L clear): status 134"),
    ("HA_2_4_2", "AHL", False, "A neighbour has the home address (A set, L set): status 134"),
    ("HA_2_4_5", "HL", False, "A neighbour has the home address (A clear, L set): status 134"),
    ("HA_2_4_3", "AHL", True, "A neighbour has the link-local address (A set, L set): status 134"),
    ("HA_2_4_6", "HL", True, "A neighbour has the link-local address (A clear, L set): status 134"),
):
    real.case(ident, "10.3.1", title, flags, local)(duplicate)


# 2.5 to 2.8. Sequence numbers


def sequence(c, first, second, flags, good):
    m = MobileNode(c)
    m.send_update(seq=first)
    m.acknowledged(0, seq=first)
    m.send_update(seq=second, flags=flags, src=m.other_care_of)
    if good:
        m.acknowledged(0, seq=second, at=m.other_care_of)
        m.is_tunnelled(m.other_care_of)
    else:
        m.acknowledged(135, seq=first, at=m.other_care_of)
        m.is_tunnelled(m.care_of)


def sequences(good, rows):
    verdict = "accepted" if good else "status 135 with the last number"
    for real_ids, virtual_ids, first, second in rows:
        for i, flags in enumerate(("AH", "H")):
            title = "Number %d after %d (A %s): %s" % (second, first, "set" if i == 0 else "clear", verdict)
            both(real_ids[i], virtual_ids[i], "9.5.1", title, first, second, flags, good)(sequence)


sequences(True, (
    (("HA_2_5_1", "HA_2_5_5"), ("HA_2_5_3", "HA_2_5_7"), 15, 16),
    (("HA_2_5_2", "HA_2_5_6"), ("HA_2_5_4", "HA_2_5_8"), 15, 32782),
    (("HA_2_7_1", "HA_2_7_5"), ("HA_2_7_3", "HA_2_7_7"), 65535, 0),
    (("HA_2_7_2", "HA_2_7_6"), ("HA_2_7_4", "HA_2_7_8"), 32784, 15),
))
sequences(False, (
    (("HA_2_6_1", "HA_2_6_4"), ("HA_2_6_7", "HA_2_6_10"), 15, 14),
    (("HA_2_6_2", "HA_2_6_5"), ("HA_2_6_8", "HA_2_6_11"), 15, 15),
    (("HA_2_6_3", "HA_2_6_6"), ("HA_2_6_9", "HA_2_6_12"), 15, 32783),
    (("HA_2_8_1", "HA_2_8_4"), ("HA_2_8_7", "HA_2_8_10"), 32783, 32782),
    (("HA_2_8_2", "HA_2_8_5"), ("HA_2_8_8", "HA_2_8_11"), 32783, 32783),
    (("HA_2_8_3", "HA_2_8_6"), ("HA_2_8_9", "HA_2_8_12"), 32783, 15),
))


# 3. De-registration

# How a mobile node leaves: what is in its Binding Update.
ABROAD = "lifetime 0, from abroad"
HOME_ZERO = "lifetime 0, care-of address is the home address"
HOME_LONG = "lifetime not 0, care-of address is the home address"


def leave(m, how, flags, hao, seq=None):
    """Sends a de-registration; where its answer goes."""
    c = m.case
    if how == ABROAD:
        m.send_update(flags=flags, lifetime=0, seq=seq)
        return {"at": m.care_of}
    # At home again: source is the home address, and the home link is reached
    # directly (§11.5.5), so the tester answers for the mobile node there.
    c.wire.present.add(m.home)
    m.send_update(flags=flags, lifetime=0 if how == HOME_ZERO else 15, src=m.home, hao=hao, options=[alternate(m.home)], seq=seq)
    return {"at": m.home, "routed": False}


def deregister(c, how, flags, hao):
    m = MobileNode(c)
    m.register()
    m.is_bound()
    where = leave(m, how, flags, hao)
    ba = m.acknowledged(0, **where)
    c.check(ba.lifetime == 0, "lifetime %d in the acknowledgement" % ba.lifetime)
    m.is_unbound()
    if how == ABROAD:
        c.never("a tunnelled packet", lambda v: v.dst == m.care_of and v.inner(), lambda: (m.echo_from_correspondent(b"late"), m.fence()))


def not_registered(c, how, flags, hao):
    m = MobileNode(c)
    where = leave(m, how, flags, hao)
    m.acknowledged(133, **where)
    m.is_unbound()


def old_number(c, how, flags, hao):
    m = MobileNode(c)
    m.register(seq=100)
    where = leave(m, how, flags, hao, seq=99)
    m.acknowledged(135, seq=100, **where)
    m.is_bound()


def departures(prefix, rows, run, what):
    for numbers, how, hao in rows:
        for number, flags in zip(numbers, ("AH", "H")):
            text = "%s (A %s, %s Home Address option): %s" % (how, "set" if flags == "AH" else "clear", "with" if hao else "without", what)
            real.case(prefix + str(number), "10.3.2", text[0].upper() + text[1:], how, flags, hao)(run)


departures("HA_3_1_", (
    ((1, 6), ABROAD, True), ((2, 7), HOME_ZERO, True), ((3, 8), HOME_LONG, True), ((4, 9), HOME_ZERO, False), ((5, 10), HOME_LONG, False),
), deregister, "de-registered")
virtual.case("HA_3_1_11", "10.3.2", "Lifetime 0, from abroad (A set): de-registered", ABROAD, "AH", True)(deregister)
virtual.case("HA_3_1_12", "10.3.2", "Lifetime 0, from abroad (A clear): de-registered", ABROAD, "H", True)(deregister)
departures("HA_3_2_", (
    ((1, 6), ABROAD, True), ((2, 7), HOME_ZERO, True), ((3, 8), HOME_LONG, True), ((4, 9), HOME_ZERO, False), ((5, 10), HOME_LONG, False),
), not_registered, "status 133, not registered")
virtual.case("HA_3_2_11", "10.3.2", "Lifetime 0, not registered (A set): status 133", ABROAD, "AH", True)(not_registered)
virtual.case("HA_3_2_12", "10.3.2", "Lifetime 0, not registered (A clear): status 133", ABROAD, "H", True)(not_registered)
departures("HA_3_3_", (
    ((1, 2), HOME_ZERO, True), ((5, 6), HOME_LONG, True), ((3, 4), HOME_ZERO, False), ((7, 8), HOME_LONG, False),
), old_number, "old number: status 135")


@real.case("10.3.2/1", "10.3.2", "Two de-registrations with one number: the second hears 133, nothing breaks")
def twice(c):
    m = MobileNode(c)
    m.register()
    m.send_update(lifetime=0)
    m.send_update(lifetime=0, seq=m.seq)
    seen = []

    def match(v):
        if v.payload[2:3] == b"\x06" and v.dst == m.care_of and v.next_header == 135:
            seen.append(v.payload[6])
        return len(seen) == 2

    c.expect("two acknowledgements", match)
    c.check(seen == [0, 133], "statuses %s, want 0 and 133" % seen)
    m.is_unbound()
