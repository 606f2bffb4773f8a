"""Correspondent node: Mobility Headers that are wrong, and return routability
(RFC 6275 §9.2, §9.4). Ids CN-… are those of the IPv6 Ready Phase-2 self-test
where they are known; other cases have the section's number.
"""

from cn_setup import NODE, MobileNode, bound, cn
from judge import binding_error, parameter_problem
from mip6 import COT, HOT, IPv6, coti, home_address_option, hoti
from scapy.layers.inet6 import MIP6MH_CoT, MIP6MH_Generic, MIP6MH_HoT, MIP6OptUnknown


@cn.case("9.2/1", "9.2", "Unrecognized MH Type: Binding Error, status 2, home address unspecified")
def unknown_type(c):
    m = MobileNode(c)
    c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / MIP6MH_Generic(mhtype=77, res=0, msg=b"\0\0"))
    binding_error(c, m.care_of, "::")


@cn.case("9.2/2", "9.2", "Unrecognized MH Type with a Home Address option: Binding Error names it")
def unknown_type_from_mobile_node(c):
    m = bound(c)
    c.send(IPv6(src=m.care_of, dst=NODE, hlim=64) / home_address_option(m.home) / MIP6MH_Generic(mhtype=77, res=0, msg=b"\0\0"))
    binding_error(c, m.care_of, m.home)


def inits(m):
    return (("Home Test Init", m.home, hoti), ("Care-of Test Init", m.care_of, coti))


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
    parameter_problem(c, src, IPv6(src=src, dst=NODE, hlim=64) / make(c.cookie(), nh=6), 0)


def short_header(c, which):
    m = MobileNode(c)
    _, src, make = inits(m)[which]
    parameter_problem(c, src, IPv6(src=src, dst=NODE, hlim=64) / make(b"", autopad=0, len=0), 1)


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
    m = bound(c)
    if which == 0:
        m.home_test()
    else:
        m.care_of_test()


def unknown_option(c, which):
    m = MobileNode(c)
    init = inits(m)[which][2](c.cookie(), options=[MIP6OptUnknown(otype=200, odata=b"xyz")])
    m.test(inits(m)[which][1], init, (HOT, COT)[which], (MIP6MH_HoT, MIP6MH_CoT)[which], "answer to an Init with an unknown option")


def reserved_bits(c, which):
    m = MobileNode(c)
    init = inits(m)[which][2](c.cookie(), reserved=b"\xff\xff")
    init.res = 0xFF
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
