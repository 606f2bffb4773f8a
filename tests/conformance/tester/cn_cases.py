"""Correspondent node (RFC 6275 §9). Ids CN-… are those of the IPv6 Ready
Phase-2 self-test where they are known; other cases have the section's number.
"""

import struct

from case import Group
from cn_setup import NODE, MobileNode, Token
from mip6 import BE, BRR, BindingErrorMessage, IPv6, View, alternate, authentic, coti, echo_request, home_address_option, hoti, kbm, nonces, routing_header
from scapy.layers.inet6 import ICMPv6DestUnreach, ICMPv6Unknown, IPv6ExtHdrDestOpt, MIP6MH_Generic, MIP6OptUnknown

cn = Group("correspondent")


# §9.2: Mobility Headers


@cn.case("9.2/1", "9.2", "Unrecognized MH Type: Binding Error, status 2, home address unspecified")
def unknown_type(c):
    m = MobileNode(c)
    c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / MIP6MH_Generic(mhtype=77, res=0, msg=b"\0\0"))
    binding_error(c, m, "::")


@cn.case("9.2/2", "9.2", "Unrecognized MH Type with a Home Address option: Binding Error names it")
def unknown_type_from_mobile_node(c):
    m = MobileNode(c)
    m.bind()
    c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / home_address_option(m.home) / MIP6MH_Generic(mhtype=77, res=0, msg=b"\0\0"))
    binding_error(c, m, m.home)


def binding_error(c, m, home):
    v = c.expect("Binding Error", lambda v: v if v.mobility(BE) and v.dst == m.care_of else None)
    be = BindingErrorMessage(v)
    c.check(be.status == 2, "status %d, want 2" % be.status)
    c.check(be.home == home, "home address %s, want %s" % (be.home, home))
    c.check(v.checksum_right(), "wrong checksum")


def inits(m):
    return (("Home Test Init", m.home, hoti), ("Care-of Test Init", m.care_of, coti))


def init_case(ident, section, title, which):
    """A case for one of the two Init messages."""

    def register(run):
        cn.case(ident, section, title, which)(run)
        return run

    return register


def wrong_checksum(c, which):
    m = MobileNode(c)
    _, src, make = inits(m)[which]
    data = bytearray(bytes(IPv6(src=src, dst=NODE, hlim=64) / make(c.cookie())))
    data[-1] ^= 1
    c.send(bytes(data))
    m.silence("an answer to a wrong checksum")


def piggybacking(c, which):
    m = MobileNode(c)
    _, src, make = inits(m)[which]
    problem(c, src, IPv6(src=src, dst=NODE, hlim=64) / make(c.cookie(), nh=6), 0)


def short_header(c, which):
    m = MobileNode(c)
    _, src, make = inits(m)[which]
    problem(c, src, IPv6(src=src, dst=NODE, hlim=64) / make(b"", autopad=0, len=0), 1)


def problem(c, to, packet, offset):
    c.send(packet)
    v = c.expect("ICMPv6 Parameter Problem", lambda v: v if v.icmp(4) and v.dst == to else None)
    c.check(v.payload[1] == 0, "code %d" % v.payload[1])
    c.check(v.checksum_right(), "wrong checksum")
    sent = View(bytes(packet))
    pointer, want = struct.unpack("!I", v.payload[4:8])[0], len(sent.data) - len(sent.payload) + offset
    c.check(pointer == want, "pointer %d, want %d" % (pointer, want))
    c.check(v.payload[48:] == sent.data[40:], "the packet is not quoted as it was sent")


def with_home_address(c, which):
    m = MobileNode(c)
    c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / home_address_option(m.home) / inits(m)[which][2](c.cookie()))
    m.silence("an answer to an Init with a Home Address option")


def valid_test(c, which):
    m = MobileNode(c)
    t = m.home_test() if which == 0 else m.care_of_test()
    c.check(len(t.token) == 8, "no keygen token")


def bound_test(c, which):
    """With a binding: the answer goes to where the Init came from, by no
    routing header (§6.1)."""
    m = MobileNode(c)
    m.bind()
    if which == 0:
        m.home_test()
    else:
        m.care_of_test()


def unknown_option(c, which):
    m = MobileNode(c)
    init = inits(m)[which][2](c.cookie(), options=[MIP6OptUnknown(otype=200, odata=b"xyz")])
    from cn_setup import COT, HOT, MIP6MH_CoT, MIP6MH_HoT

    m.test(inits(m)[which][1], init, (HOT, COT)[which], (MIP6MH_HoT, MIP6MH_CoT)[which], "answer to an Init with an unknown option")


def reserved_bits(c, which):
    m = MobileNode(c)
    init = inits(m)[which][2](c.cookie(), reserved=b"\xff\xff")
    init.res = 0xFF
    from cn_setup import COT, HOT, MIP6MH_CoT, MIP6MH_HoT

    m.test(inits(m)[which][1], init, (HOT, COT)[which], (MIP6MH_HoT, MIP6MH_CoT)[which], "answer to an Init with reserved bits")


for which, (name, section) in enumerate((("Home Test Init", "9.4.1"), ("Care-of Test Init", "9.4.2"))):
    answer = ("Home Test", "Care-of Test")[which]
    for number, run, where, title in (
        (1, valid_test, section, "%s: answered by a %s with the same cookie" % (name, answer)),
        (2, bound_test, "6.1", "%s while there is a binding: the answer does not follow it" % name),
        (3, wrong_checksum, "9.2", "%s with a wrong checksum: dropped in silence" % name),
        (4, piggybacking, "9.2", "%s, Payload Proto not 59: ICMPv6 parameter problem" % name),
        (5, short_header, "9.2", "%s, Header Len too small: ICMPv6 parameter problem" % name),
        (6, with_home_address, section, "%s with a Home Address option: dropped in silence" % name),
        (7, unknown_option, "6.2", "%s with an unknown mobility option: answered" % name),
        (8, reserved_bits, "6.1.3" if which == 0 else "6.1.4", "%s with reserved bits set: answered" % name),
    ):
        # The one case of this list whose id is known.
        ident = "CN-2-1-3" if which == 0 and run is short_header else "%s/%d" % (section, number)
        cn.case(ident, where, title, which)(run)


@cn.case("9.4/1", "5.2.5", "Home and care-of token of one address differ, and are those of their kind")
def tokens_differ(c):
    m = MobileNode(c)
    m.home = m.care_of
    home = m.home_test()
    care_of = m.care_of_test()
    c.check(home.token != care_of.token, "the same token for both tests")


@cn.case("9.4/2", "5.2.5", "Tokens depend on the address alone: the same nonce gives the same token, another address another")
def tokens_stateless(c):
    m = MobileNode(c)
    first = m.home_test()
    second = m.home_test()
    if first.index == second.index:
        c.check(first.token == second.token, "two tokens of one nonce differ")
    other = MobileNode(c)
    other.home = "2001:db8:4:%x::2" % m.n
    c.check(other.home_test().token != first.token, "another address has the same token")


# §9.3: packets


@cn.case("9.3.1/1", "9.3.3", "Home Address option without a binding: Binding Error, status 1")
def no_binding(c):
    MobileNode(c).is_unbound()


@cn.case("9.3.1/2", "9.3.1", "Home Address option from another care-of address than the binding's: Binding Error")
def wrong_care_of(c):
    m = MobileNode(c)
    m.bind()
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
    from mip6 import HAO

    m = MobileNode(c)
    m.bind()
    c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / IPv6ExtHdrDestOpt(options=[HAO(hoa=m.home), HAO(hoa=m.home)]) / echo_request(7))
    c.never("an Echo Reply", lambda v: v.icmp(129) and v.dst in (m.care_of, m.home), m.fence)


@cn.case("9.3.2/1", "9.3.2", "With a binding, packets carry a type 2 routing header and a checksum over the home address")
def routed(c):
    m = MobileNode(c)
    m.bind()
    m.is_bound()


@cn.case("9.3.2/2", "6.4", "A type 2 routing header that comes in: not followed")
def incoming_routing_header(c):
    m = MobileNode(c)
    m.bind()
    c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / routing_header(m.home) / echo_request(9))
    c.never("a packet that was sent on", lambda v: v.icmp(128) or v.icmp(129) and v.payload[4:6] == b"\0\x09", m.fence)


# §9.5: Binding Updates


@cn.case("9.5.1/1", "9.5.1", "Binding Update, A set: accepted, acknowledged, authenticated")
def valid_update(c):
    m = MobileNode(c)
    ba = m.bind()
    c.check(ba.lifetime == 100, "lifetime %d units, want 100" % ba.lifetime)
    m.is_bound()


@cn.case("9.5.1/2", "9.5.4", "Binding Update, A clear: accepted, not acknowledged")
def silent_update(c):
    m = MobileNode(c)
    m.return_routability()
    m.send_update(flags="")
    m.silence("an acknowledgement that was not asked for")
    m.is_bound()


@cn.case("9.5.1/3", "9.5.2", "Lifetime above 420 s: cut to that")
def lifetime_capped(c):
    m = MobileNode(c)
    ba = m.bind(lifetime=0xFFFF)
    c.check(ba.lifetime == 105, "lifetime %d units, want 105 (MAX_RR_BINDING_LIFETIME)" % ba.lifetime)


@cn.case("9.5.1/4", "9.5.2", "The lifetime ends: no binding")
def lifetime_ends(c):
    m = MobileNode(c)
    m.bind(lifetime=1)
    m.is_bound()
    m.expires()
    m.is_unbound()


@cn.case("9.5.1/5", "6.2.5", "The Alternate Care-of Address option counts")
def alternate_counts(c):
    m = MobileNode(c)
    m.return_routability()
    m.care_of_test(m.other_care_of)
    m.send_update(care_of=m.other_care_of, src=m.care_of)
    m.acknowledged(0)
    m.is_bound(m.other_care_of)


def refused_in_silence(ident, section, title, **kwargs):
    def run(c):
        m = MobileNode(c)
        m.return_routability()
        m.send_update(**kwargs)
        m.silence("an answer")
        m.is_unbound()

    cn.case(ident, section, title)(run)


refused_in_silence("9.5.1/6", "9.5.1", "Wrong authenticator (A set): dropped in silence", spoil=True)
refused_in_silence("9.5.1/7", "9.5.1", "Wrong authenticator (A clear): dropped in silence", spoil=True, flags="")
refused_in_silence("9.5.1/8", "9.5.1", "No Binding Authorization Data option: dropped in silence", bare=True)
refused_in_silence("9.5.1/9", "9.5.1", "No Nonce Indices option: dropped in silence", options=[])
refused_in_silence("9.5.1/10", "9.5.1", "Authenticator of another care-of address: dropped in silence", covered="2001:db8:7::1")


@cn.case("CN-2-3-10-2", "9.5.1", "De-registration without Nonce Indices option: dropped in silence")
def deletion_without_indices(c):
    m = MobileNode(c)
    m.bind()
    m.send_update(lifetime=0, options=[])
    m.silence("an answer", m.other_care_of)
    c.mark()
    m.is_bound()


@cn.case("9.5.1/11", "9.5.1", "Authorization Data not the last option: dropped in silence")
def authorization_first(c):
    m = MobileNode(c)
    m.return_routability()
    packet = m.update()
    bu = packet.lastlayer()
    bu.options = [bu.options[-1], bu.options[0]]
    c.send(packet)
    m.silence("an answer")
    m.is_unbound()


@cn.case("9.5.1/12", "9.5.1", "Binding Update without a Home Address option: dropped in silence")
def update_without_home(c):
    m = MobileNode(c)
    m.return_routability()
    m.send_update(hao=False)
    m.silence("an answer")
    m.is_unbound()


@cn.case("9.5.1/13", "9.5.1", "Multicast home address: dropped in silence")
def update_multicast_home(c):
    m = MobileNode(c)
    m.return_routability()
    m.home = "ff0e::9"
    m.send_update()
    m.silence("an answer", m.care_of)


@cn.case("9.5.1/14", "9.5.1", "Multicast care-of address: dropped in silence")
def update_multicast_care_of(c):
    m = MobileNode(c)
    m.return_routability()
    m.care_of_tokens["ff0e::9"] = m.care_of_tokens[m.care_of]
    m.send_update(care_of="ff0e::9", src=m.care_of)
    m.silence("an answer")
    m.is_unbound()


def home_registration(c, flags):
    m = MobileNode(c)
    m.return_routability()
    m.send_update(flags=flags)
    m.acknowledged(131, signed=False)
    m.is_unbound()


cn.case("9.5.1/15", "10.3.1", "H set (A set): status 131, home registration not supported", "AH")(home_registration)
cn.case("9.5.1/16", "10.3.1", "H set (A clear): status 131", "H")(home_registration)


@cn.case("9.5.1/17", "9.5.1", "Binding Update with a wrong checksum: dropped in silence")
def update_wrong_checksum(c):
    m = MobileNode(c)
    m.return_routability()
    packet = m.update()
    data = bytearray(bytes(packet))
    data[40 + 24 + 4] ^= 0x55  # the checksum itself, so that the authenticator is right
    c.send(bytes(data))
    m.silence("an answer to a wrong checksum")
    m.is_unbound()


@cn.case("9.5.1/18", "9.2", "Binding Update, Payload Proto not 59: ICMPv6 parameter problem")
def update_piggybacking(c):
    m = MobileNode(c)
    m.return_routability()
    problem(c, m.care_of, m.update(nh=6), 0)
    m.is_unbound()


@cn.case("9.5.1/19", "9.2", "Binding Update, Header Len too small: ICMPv6 parameter problem")
def update_short(c):
    m = MobileNode(c)
    m.return_routability()
    problem(c, m.care_of, m.update(options=[], bare=True, autopad=0, len=0), 1)


@cn.case("9.5.1/20", "6.1.7", "Reserved bits set in the Binding Update: ignored")
def update_reserved(c):
    m = MobileNode(c)
    m.bind(reserved=0x1FF)
    m.is_bound()


@cn.case("9.5.1/21", "6.2", "Unknown mobility option in the Binding Update: skipped")
def update_unknown_option(c):
    m = MobileNode(c)
    m.return_routability()
    m.send_update(options=[MIP6OptUnknown(otype=99, odata=b"??"), nonces(m.home_token.index, m.care_of_tokens[m.care_of].index)])
    m.acknowledged(0)
    m.is_bound()


@cn.case("CN-3-2-1", "9.5.2", "Re-registration after another return routability procedure")
def again(c):
    m = MobileNode(c)
    m.bind()
    m.bind(lifetime=50)
    m.is_bound()


@cn.case("9.5.2/1", "9.5.2", "Re-registration with the tokens of the first")
def again_without(c):
    m = MobileNode(c)
    m.bind()
    m.send_update(lifetime=50)
    m.acknowledged(0)
    m.is_bound()


def refresh_request(c, m):
    """The binding is used and about to end: the node asks for a refresh."""
    v = None
    for _ in range(40):
        m.echo()
        found, _pos = c.wire.find(c.start, lambda f: wanted(m, f), patience=0.5)
        if found:
            v = found
            break
    c.check(v is not None, "no Binding Refresh Request")
    c.check(v.checksum_right(), "Binding Refresh Request has a wrong checksum")
    c.check(v.src == NODE, "Binding Refresh Request is from %s" % v.src)
    return v


def wanted(m, f):
    v = View(f.data[14:])
    return v if v.mobility(BRR) and v.dst in (m.care_of, m.home) else None


@cn.case("CN-3-2-3", "9.5.5", "Binding in use and about to end: Binding Refresh Request")
def refresh(c):
    m = MobileNode(c)
    m.bind(lifetime=3)
    refresh_request(c, m)


@cn.case("CN-3-2-4", "9.5.5", "Re-registration in response to the Binding Refresh Request")
def refreshed(c):
    m = MobileNode(c)
    m.bind(lifetime=3)
    refresh_request(c, m)
    c.mark()
    m.send_update(lifetime=50)
    m.acknowledged(0)
    m.is_bound()


# De-registration


@cn.case("9.5.3/1", "9.5.3", "Lifetime 0 from abroad: binding deleted, acknowledged")
def deletion(c):
    m = MobileNode(c)
    m.bind()
    m.send_update(lifetime=0)
    ba = m.acknowledged(0)
    c.check(ba.lifetime == 0, "lifetime %d" % ba.lifetime)
    m.is_unbound()


@cn.case("9.5.3/2", "9.5.3", "Lifetime 0, A clear: binding deleted, not acknowledged")
def silent_deletion(c):
    m = MobileNode(c)
    m.bind()
    m.send_update(lifetime=0, flags="")
    m.silence("an acknowledgement that was not asked for")
    m.is_unbound()


def home_deletion(c, lifetime, hao):
    m = MobileNode(c)
    m.bind()
    m.home_test()
    m.send_update(lifetime=lifetime, care_of=m.home, hao=hao)
    m.acknowledged(0, at=m.home, routed=False)
    m.is_unbound()


cn.case("9.5.3/3", "9.5.3", "Lifetime 0 from home, no Home Address option: binding deleted", 0, False)(home_deletion)
cn.case("9.5.3/4", "9.5.3", "Lifetime not 0, care-of address is the home address, no Home Address option: binding deleted", 20, False)(home_deletion)
cn.case("9.5.3/5", "9.5.3", "Lifetime 0 from home, Home Address option included, after return routability: binding deleted", 0, True)(home_deletion)


@cn.case("CN-3-3-4", "9.5.3", "From home, Home Address option included, without another return routability: binding deleted")
def home_deletion_tokens_kept(c):
    m = MobileNode(c)
    m.bind()
    m.send_update(lifetime=0, care_of=m.home, hao=True)
    m.acknowledged(0, at=m.home, routed=False)
    m.is_unbound()


@cn.case("9.5.3/6", "9.5.3", "Deletion with the key of a registration: dropped in silence")
def deletion_wrong_key(c):
    m = MobileNode(c)
    m.bind()
    m.send_update(lifetime=0, key=kbm(m.home_token.token, m.care_of_tokens[m.care_of].token))
    m.silence("an answer", m.other_care_of)
    c.mark()
    m.is_bound()


@cn.case("9.5.3/7", "9.5.3", "Deletion of what is not bound: accepted")
def deletion_of_nothing(c):
    m = MobileNode(c)
    m.return_routability()
    m.send_update(lifetime=0)
    m.acknowledged(0)
    m.is_unbound()


@cn.case("9.5.3/8", "9.5.3", "A copy of an old Binding Update does not bring a deleted binding back")
def replay(c):
    m = MobileNode(c)
    m.return_routability()
    packet = bytes(m.update())
    c.send(packet)
    m.acknowledged(0)
    m.send_update(lifetime=0)
    m.acknowledged(0)
    c.send(packet)
    m.fence()
    c.mark()
    m.is_unbound()


# Handover


@cn.case("9.5.2/2", "9.5.2", "Handover: the next care-of address after its own care-of test")
def handover(c):
    m = MobileNode(c)
    m.bind()
    m.care_of_test(m.other_care_of)
    m.send_update(care_of=m.other_care_of)
    m.acknowledged(0, at=m.other_care_of)
    m.is_bound(m.other_care_of)
    v = m.echo(m.care_of)
    c.check(v.mobility(BE), "the old care-of address is still believed")


@cn.case("9.5.2/3", "5.2.7", "Handover with the home token of before, both tests made again: the same")
def handover_new_tokens(c):
    m = MobileNode(c)
    m.bind()
    m.home_test()
    m.care_of_test(m.other_care_of)
    m.send_update(care_of=m.other_care_of)
    m.acknowledged(0, at=m.other_care_of)
    m.is_bound(m.other_care_of)


@cn.case("CN-3-4-3", "9.5.1", "Handover with a Binding Update that fails a test: the old binding stays")
def failed_handover(c):
    m = MobileNode(c)
    m.bind()
    m.care_of_test(m.other_care_of)
    m.send_update(care_of=m.other_care_of, spoil=True)
    m.silence("an answer", m.other_care_of)
    c.mark()
    m.is_bound()


# Nonce indices


def unknown_index(c, home, care_of, status, deletes):
    m = MobileNode(c)
    if deletes:
        m.bind()
    else:
        m.return_routability()
    indices = (m.home_token.index + (20000 if home else 0), m.care_of_tokens[m.care_of].index + (20000 if care_of else 0))
    m.send_update(indices=tuple(i % 65536 for i in indices), lifetime=0 if deletes else 100)
    m.acknowledged(status, signed=False)
    if deletes:
        m.is_bound()
    else:
        m.is_unbound()


cn.case("9.5.1/22", "9.5.1", "Unknown home nonce index: status 136", True, False, 136, False)(unknown_index)
cn.case("9.5.1/23", "9.5.1", "Unknown care-of nonce index: status 137", False, True, 137, False)(unknown_index)
cn.case("9.5.1/24", "9.5.1", "Both nonce indices unknown: status 138", True, True, 138, False)(unknown_index)
cn.case("CN-4-4-2", "9.5.1", "Unknown home nonce index in a de-registration from abroad: status 136", True, False, 136, True)(unknown_index)

TIME = "a nonce lives 240 s; the test lets its own clock pass"
NONCES = "mipv6/correspondent: TestScenarios/nonces.txt"
cn.elsewhere("CN-4-2-2", "9.5.1", "Home nonce expired, de-registration from abroad: status 136", NONCES, TIME)
cn.elsewhere("CN-4-8-1", "9.5.1", "Both nonces expired, registration from abroad: status 138", NONCES, TIME)
cn.elsewhere("CN-4-12-1", "5.2.2", "Indices not recent but valid, registration from abroad", NONCES, TIME)
cn.elsewhere("CN-4-12-2", "5.2.2", "Indices not recent but valid, de-registration from abroad", NONCES, TIME)
cn.elsewhere("CN-4-12-3", "5.2.2", "Indices not recent but valid, de-registration from home", NONCES, TIME)


# Sequence numbers


def sequence(c, first, second, good):
    m = MobileNode(c)
    m.return_routability()
    m.send_update(seq=first)
    m.acknowledged(0)
    m.send_update(seq=second)
    if good:
        m.acknowledged(0, seq=second)
    else:
        m.acknowledged(135, seq=first)
    m.is_bound()


for ident, first, second, good in (
    ("CN-5-1-1", 10000, 42767, True),
    ("9.5.1/25", 10000, 10000, False),
    ("9.5.1/26", 10000, 9999, False),
    ("9.5.1/27", 10000, 42768, False),
    ("9.5.1/28", 65535, 0, True),
    ("9.5.1/29", 0, 65535, False),
):
    verdict = "accepted" if good else "status 135 with the last number, authenticated"
    cn.case(ident, "9.5.1", "Number %d after %d: %s" % (second, first, verdict), first, second, good)(sequence)


# §9.3.4: ICMPv6 errors


@cn.case("CN-6-1", "9.3.4", "Persistent ICMPv6 Destination Unreachable for the care-of address: binding deleted")
def unreachable(c):
    import time

    m = MobileNode(c)
    m.bind()
    for _ in range(40):
        v = m.echo()
        if v.mobility(BE):
            return
        quoted = v.data
        c.send(IPv6(src="2001:db8:a::1", dst=NODE, hlim=64) / ICMPv6DestUnreach(code=3) / quoted)
        time.sleep(0.5)
    c.check(False, "the binding stays")


@cn.case("9.3.4/1", "9.3.4", "A single ICMPv6 Destination Unreachable: the binding stays")
def unreachable_once(c):
    m = MobileNode(c)
    m.bind()
    v = m.echo()
    c.send(IPv6(src="2001:db8:a::1", dst=NODE, hlim=64) / ICMPv6DestUnreach(code=3) / v.data)
    m.fence()
    c.mark()
    m.is_bound()


@cn.case("9.3.4/2", "9.3.4", "ICMPv6 Packet Too Big for the care-of address: later packets fit")
def too_big(c):
    from scapy.layers.inet6 import ICMPv6PacketTooBig

    m = MobileNode(c)
    m.bind()
    big = b"x" * 1380

    def ask(ident):
        c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / home_address_option(m.home) / echo_request(ident, data=big))
        return c.expect("Echo Reply or fragment", lambda v: v if v.dst == m.care_of and v.routing_home == m.home else None)

    v = ask(1)
    c.check(len(v.data) > 1300, "the first answer has %d octets: nothing to make smaller" % len(v.data))
    c.send(IPv6(src="2001:db8:a::1", dst=NODE, hlim=64) / ICMPv6PacketTooBig(mtu=1300) / v.data[:1200])
    m.fence()
    c.mark()
    for i in range(20):
        v = ask(2 + i)
        c.mark()
        if len(v.data) <= 1300:
            return
    c.check(False, "answers of %d octets on a path of 1300" % len(v.data))


_ = (Token, alternate, authentic, ICMPv6Unknown)
