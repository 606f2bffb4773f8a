"""Mobile node (RFC 6275 §11): what of it a replica is to its clients. A replica
never moves and is never at home; its home address, home agent and care-of
address are configured. Ids MN-… are those of the IPv6 Ready Phase-2 self-test
where they are known; other cases have the section's number.
"""

from case import Group
from mip6 import BE, BU, COTI, IPv6, View, routing_header
from mn_setup import CARE_OF, CONTACT, Client, acknowledgement, follows
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ParamProblem, IPv6ExtHdrRouting, MIP6MH_BE, MIP6MH_BRR, MIP6MH_Generic

mn = Group("replica")


def connected(c):
    """A client with a connection, through the tunnel."""
    k = Client(c)
    k.connect()
    return k


def updated(c):
    """A client that has answered both tests, and the Binding Update it got."""
    k = connected(c)
    k.answer_tests()
    return k, k.update()


@mn.case("11.3.1/1", "11.3.1", "A client's connection through the tunnel: answered through it")
def through_the_tunnel(c):
    connected(c)


@mn.case("11.6.1/1", "11.6.1", "Home Test Init by the home agent, Care-of Test Init straight, with cookies of their own")
def inits(c):
    k = connected(c)
    home, care_of = k.home_init(), k.care_of_init()
    c.check(home.payload[8:16] != care_of.payload[8:16], "one cookie for both")
    c.check(home.payload[6:8] == b"\0\0" and care_of.payload[6:8] == b"\0\0", "reserved bits set")


@mn.case("11.7.2/1", "11.7.2", "Binding Update to the client: Home Address option, nonce indices, authenticator, H clear")
def update(c):
    k, u = updated(c)
    c.check(u.view.src == CARE_OF and u.view.home == CONTACT, "from %s with home address %s" % (u.view.src, u.view.home))
    c.check(not u.home and not u.link_local and not u.keys, "H, L or K set")
    c.check(u.ack, "A clear")
    c.check(u.nonces == k.indices, "nonce indices %s, want %s" % (u.nonces, k.indices))
    c.check(0 < u.lifetime <= 105, "lifetime %d units, at most 105" % u.lifetime)
    c.check(u.view.checksum_right(), "wrong checksum")
    c.check(u.reserved == 0, "reserved bits set")


@mn.case("11.3.1/2", "11.3.1", "Acknowledged: packets go straight, Home Address option out, type 2 routing header in")
def optimised(c):
    Client(c).bind()


@mn.case("11.6.2/1", "11.6.2", "Home Test with a wrong cookie: ignored, the Init is sent again")
def wrong_home_cookie(c):
    k = connected(c)
    i = k.home_init()
    c.send(k.tunnelled(k.home_test(i, cookie=b"notthis!")))
    k.answer_care_of()
    again(c, k, i)


@mn.case("11.6.2/2", "11.6.2", "Care-of Test with a wrong cookie: ignored, the Init is sent again")
def wrong_care_of_cookie(c):
    k = connected(c)
    k.answer_home()
    i = k.care_of_init()
    c.send(IPv6(src=k.addr, dst=CARE_OF, hlim=64) / k.care_of_test(i, cookie=b"notthis!"))
    c.mark()
    k.answer_care_of()
    k.acknowledge(k.update())
    k.is_optimised()


def again(c, k, first):
    """Another Home Test Init comes, and its answer counts."""
    c.mark()
    i = k.home_init()
    k.answer_home(i)
    k.acknowledge(k.update())
    k.is_optimised()


@mn.case("11.6.2/3", "11.6.2", "Home Test that did not come through the tunnel: ignored")
def native_home_test(c):
    k = connected(c)
    i = k.home_init()
    k.answer_care_of()
    c.send(IPv6(src=k.addr, dst=CONTACT, hlim=64) / k.home_test(i))
    again(c, k, i)


@mn.case("11.6.2/4", "9.2", "Home Test with a wrong checksum: ignored")
def home_test_checksum(c):
    k = connected(c)
    i = k.home_init()
    k.answer_care_of()
    c.send(k.tunnelled(k.home_test(i, cksum=0x4321)))
    again(c, k, i)


@mn.case("11.7.3/30", "11.7.3", "Client's acknowledgement with a wrong authenticator: ignored, updated again")
def forged(c):
    k, u = updated(c)
    k.acknowledge(u, spoil=True)
    u2 = k.update(lambda x: x.at > u.at)
    k.acknowledge(u2)
    k.is_optimised()


@mn.case("11.7.3/31", "11.7.3", "Client's acknowledgement without authenticator: ignored, updated again")
def unsigned(c):
    k, u = updated(c)
    c.send(acknowledgement(u, k.addr))
    k.acknowledge(k.update(lambda x: x.at > u.at))
    k.is_optimised()


@mn.case("11.7.3/32", "11.7.3", "Client says 135: the next number is after the one told")
def client_resync(c):
    k, u = updated(c)
    told = (u.seq + 777) % 65536
    k.acknowledge(u, status=135, seq=told)
    u2 = k.update(lambda x: x.seq != u.seq)
    follows(c, u2, told)


def nonce_expired(c, status, home):
    k, u = updated(c)
    k.indices = (k.indices[0] + 1, k.indices[1] + 1)
    c.send(acknowledgement(u, k.addr, status=status))
    c.mark()
    if home:
        k.answer_home()
    if status != 136:
        k.answer_care_of()
    u2 = k.update(lambda x: x.nonces != u.nonces)
    k.acknowledge(u2)
    k.is_optimised()


mn.case("11.7.3/33", "11.7.3", "Client says 136, home nonce expired: another home test", 136, True)(nonce_expired)
mn.case("11.7.3/34", "11.7.3", "Client says 137, care-of nonce expired: another care-of test", 137, False)(nonce_expired)
mn.case("11.7.3/35", "11.7.3", "Client says 138, both expired: both tests again", 138, True)(nonce_expired)


@mn.case("11.7.2/2", "11.8", "No acknowledgement: the update is sent again, not before 1 s, and not more than 3 a second")
def update_again(c):
    k, a = updated(c)
    b = k.update(lambda x: x.at > a.at)
    c.check(b.at - a.at > 0.9, "again after %.2f s" % (b.at - a.at))
    k.acknowledge(b)
    k.is_optimised()


@mn.case("11.3.5/1", "11.3.5", "Client without Mobility Header (ICMPv6 4/1): it stays in the tunnel, and is not asked again")
def no_mobility(c):
    k = connected(c)
    i = k.home_init()
    c.send(k.tunnelled(ICMPv6ParamProblem(code=1, ptr=6) / i.data))
    k.is_tunnelled()
    k.is_tunnelled()


@mn.case("11.3.5/2", "11.3.5", "Client that does not answer at all: it stays in the tunnel")
def silent_client(c):
    k = connected(c)
    k.home_init()
    k.is_tunnelled()


@mn.case("11.3.6/1", "11.3.6", "Binding Error, status 1: the binding is gone, made again or the tunnel used")
def binding_error(c):
    k = Client(c)
    k.bind()
    c.send(IPv6(src=k.addr, dst=CARE_OF, hlim=64) / MIP6MH_BE(status=1, ha=CONTACT))

    def match(v):
        if (v.mobility(COTI) or v.mobility(BU)) and v.dst == k.addr:
            return v
        i = v.inner()
        return v if i and i.dst == k.addr else None

    c.mark()
    for _ in range(20):
        k.line(routed=False)
        found, _pos = c.wire.find(c.start, lambda f: match(View(f.data[14:])), patience=1)
        if found:
            return
    c.check(False, "packets still go straight, as if there were a binding")


@mn.case("11.7.4/1", "11.7.4", "Binding Refresh Request from the client: another Binding Update")
def refresh_request(c):
    k = Client(c)
    u = k.bind()
    c.send(k.tunnelled(MIP6MH_BRR(res=0, res2=0)))
    u2 = k.update(lambda x: x.seq != u.seq)
    c.check(u2.lifetime > 0, "lifetime %d" % u2.lifetime)


@mn.case("6.4/1", "11.3.3", "Type 2 routing header with another address than the home address: dropped")
def foreign_routing_header(c):
    not_answered(c, lambda ident: IPv6(src="2001:db8:c:%x::1" % c.n, dst=CARE_OF, hlim=64) / routing_header("2001:db8:9::2") / ICMPv6EchoRequest(id=ident))


@mn.case("6.4/2", "11.3.3", "Type 2 routing header with more than one segment left: dropped")
def long_routing_header(c):
    not_answered(c, lambda ident: IPv6(src="2001:db8:c:%x::1" % c.n, dst=CARE_OF, hlim=64)
                 / IPv6ExtHdrRouting(type=2, segleft=2, addresses=[CONTACT, CONTACT]) / ICMPv6EchoRequest(id=ident))


@mn.case("11.5.5/2", "11.3.3", "Packet for the home address that comes neither by the tunnel nor by a routing header: dropped")
def native(c):
    not_answered(c, lambda ident: IPv6(src="2001:db8:c:%x::1" % c.n, dst=CONTACT, hlim=64) / ICMPv6EchoRequest(id=ident))


def not_answered(c, make):
    ident = c.random.randrange(65536)
    c.send(make(ident))

    def until():
        other = (ident + 1) % 65536
        c.send(IPv6(src="2001:db8:c:%x::2" % c.n, dst=CARE_OF, hlim=64) / ICMPv6EchoRequest(id=other))
        c.expect("Echo Reply of the care-of address", lambda v: v.icmp(129) and v.payload[4:6] == other.to_bytes(2, "big"))

    def answer(v):
        for p in (v, v.inner()):
            if p and p.icmp(129) and p.payload[4:6] == ident.to_bytes(2, "big"):
                return True
        return False

    c.never("an Echo Reply", answer, until)


@mn.case("11.3.3/3", "10.4.5", "Tunnel from somebody who is not the home agent: dropped")
def foreign_tunnel(c):
    not_answered(c, lambda ident: IPv6(src="2001:db8:c:%x::1" % c.n, dst=CARE_OF, hlim=64)
                 / IPv6(src="2001:db8:c:%x::1" % c.n, dst=CONTACT, hlim=60) / ICMPv6EchoRequest(id=ident))


@mn.case("9.2/1", "9.2", "Unrecognized MH Type: Binding Error, status 2")
def unknown_type(c):
    src = "2001:db8:c:%x::1" % c.n
    c.send(IPv6(src=src, dst=CARE_OF, hlim=64) / MIP6MH_Generic(mhtype=99, res=0, msg=b"\0\0"))
    v = c.expect("Binding Error", lambda v: v if v.mobility(BE) and v.dst == src else None)
    c.check(v.payload[6] == 2 and v.checksum_right(), "status %d" % v.payload[6])


# What does not apply.

STILL = "a replica does not move: its care-of address is configured"
CONFIGURED = "a replica's home address is configured, one of the home link's that no host has"
NEVER_HOME = "a replica is never on the home link"
AGENT_KNOWN = "a replica's home agent is configured, the same for all replicas"

for ident, section, title, reason in (
    ("MN-3-1-1-1-001", "11.5.1", "Home address made by stateless autoconfiguration", CONFIGURED),
    ("MN-3-1-1-1-009", "11.5.1", "Static home prefix, on the home link", CONFIGURED),
    ("MN-3-1-1-1-010", "11.5.1", "Static home prefix, on a foreign link", CONFIGURED),
    ("MN-3-2-1-1-001", "11.5.3", "Care-of address made by stateless autoconfiguration", STILL),
    ("MN-3-3-1-1-002", "11.5.1", "Movement detection: the old router while it is reachable", STILL),
    ("MN-3-3-1-1-003", "11.5.1", "Movement detection by neighbour unreachability", STILL),
    ("MN-3-3-1-1-004", "11.5.1", "Care-of address invalid on an unreachable link", STILL),
    ("MN-2-1-1-1-002", "11.7.1", "L set where the home address has the interface identifier of the link-local address", "the contact address is nobody's interface identifier: L stays clear"),
    ("MN-2-1-1-1-006", "11.7.1", "Lifetime not above that of the home address, shorter than the care-of address's", CONFIGURED + "; addresses do not expire"),
    ("MN-2-1-1-1-007", "11.7.1", "Lifetime not above that of the care-of address", STILL + "; addresses do not expire"),
    ("11.4.1/1", "11.4.1", "Dynamic home agent address discovery", AGENT_KNOWN),
    ("11.4.2/1", "11.4.2", "Mobile Prefix Solicitation", CONFIGURED),
    ("11.4.3/1", "11.4.3", "Mobile Prefix Advertisement received", CONFIGURED),
    ("11.5.5/3", "11.5.5", "Returning home", NEVER_HOME),
    ("11.5.2/1", "11.5.2", "Home link detection", NEVER_HOME),
):
    mn.absent(ident, section, title, reason)
