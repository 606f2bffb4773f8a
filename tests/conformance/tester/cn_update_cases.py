"""Correspondent node: Binding Updates (RFC 6275 §9.5)."""

from cn_setup import NODE, MobileNode, bound, cn, tested
from judge import parameter_problem
from mip6 import BRR, View, nonces
from scapy.layers.inet6 import MIP6OptUnknown


@cn.case("9.5.1/1", "9.5.1", "Binding Update, A set: accepted, acknowledged, authenticated")
def valid_update(c):
    m = MobileNode(c)
    ba = m.bind()
    c.check(ba.lifetime == 100, "lifetime %d units, want 100" % ba.lifetime)
    m.is_bound()


@cn.case("9.5.1/2", "9.5.4", "Binding Update, A clear: accepted, not acknowledged")
def silent_update(c):
    m = tested(c)
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
    m = bound(c, lifetime=1)
    m.is_bound()
    m.expires()
    m.is_unbound()


@cn.case("9.5.1/5", "6.2.5", "The Alternate Care-of Address option counts")
def alternate_counts(c):
    m = tested(c)
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
    m = bound(c)
    m.send_update(lifetime=0, options=[])
    m.silence("an answer", m.other_care_of)
    c.mark()
    m.is_bound()


@cn.case("9.5.1/11", "9.5.1", "Authorization Data not the last option: dropped in silence")
def authorization_first(c):
    m = tested(c)
    packet = m.update()
    bu = packet.lastlayer()
    bu.options = [bu.options[-1], bu.options[0]]
    c.send(packet)
    m.silence("an answer")
    m.is_unbound()


refused_in_silence("9.5.1/12", "9.5.1", "Binding Update without a Home Address option: dropped in silence", hao=False)


@cn.case("9.5.1/13", "9.5.1", "Multicast home address: dropped in silence")
def update_multicast_home(c):
    m = tested(c)
    m.home = "ff0e::9"
    m.send_update()
    m.silence("an answer", m.care_of)


@cn.case("9.5.1/14", "9.5.1", "Multicast care-of address: dropped in silence")
def update_multicast_care_of(c):
    m = tested(c)
    m.care_of_tokens["ff0e::9"] = m.care_of_tokens[m.care_of]
    m.send_update(care_of="ff0e::9", src=m.care_of)
    m.silence("an answer")
    m.is_unbound()


def home_registration(c, flags):
    m = tested(c)
    m.send_update(flags=flags)
    m.acknowledged(131, signed=False)
    m.is_unbound()


cn.case("9.5.1/15", "10.3.1", "H set (A set): status 131, home registration not supported", "AH")(home_registration)
cn.case("9.5.1/16", "10.3.1", "H set (A clear): status 131", "H")(home_registration)


@cn.case("9.5.1/17", "9.5.1", "Binding Update with a wrong checksum: dropped in silence")
def update_wrong_checksum(c):
    m = tested(c)
    packet = m.update()
    data = bytearray(bytes(packet))
    data[40 + 24 + 4] ^= 0x55  # the checksum itself, so that the authenticator is right
    c.send(bytes(data))
    m.silence("an answer to a wrong checksum")
    m.is_unbound()


@cn.case("9.5.1/18", "9.2", "Binding Update, Payload Proto not 59: ICMPv6 parameter problem")
def update_piggybacking(c):
    m = tested(c)
    parameter_problem(c, m.care_of, m.update(nh=6), 0)
    m.is_unbound()


@cn.case("9.5.1/19", "9.2", "Binding Update, Header Len too small: ICMPv6 parameter problem")
def update_short(c):
    m = tested(c)
    parameter_problem(c, m.care_of, m.update(options=[], bare=True, autopad=0, len=0), 1)


@cn.case("9.5.1/20", "6.1.7", "Reserved bits set in the Binding Update: ignored")
def update_reserved(c):
    m = bound(c, reserved=0x1FF)
    m.is_bound()


@cn.case("9.5.1/21", "6.2", "Unknown mobility option in the Binding Update: skipped")
def update_unknown_option(c):
    m = tested(c)
    m.send_update(options=[MIP6OptUnknown(otype=99, odata=b"??"), nonces(m.home_token.index, m.care_of_tokens[m.care_of].index)])
    m.acknowledged(0)
    m.is_bound()


@cn.case("CN-3-2-1", "9.5.2", "Re-registration after another return routability procedure")
def again(c):
    m = bound(c)
    m.bind(lifetime=50)
    m.is_bound()


@cn.case("9.5.2/1", "9.5.2", "Re-registration with the tokens of the first")
def again_without(c):
    m = bound(c)
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
    m = bound(c, lifetime=3)
    refresh_request(c, m)


@cn.case("CN-3-2-4", "9.5.5", "Re-registration in response to the Binding Refresh Request")
def refreshed(c):
    m = bound(c, lifetime=3)
    refresh_request(c, m)
    c.mark()
    m.send_update(lifetime=50)
    m.acknowledged(0)
    m.is_bound()
