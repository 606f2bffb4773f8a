"""Mobile node (RFC 6275 §11): what of it a replica is. A replica never moves
and is never at home; its home address, home agent and care-of address are
configured. Ids MN-… are those of the IPv6 Ready Phase-2 self-test where they
are known; other cases have the section's number.
"""

import time

from case import Group
from mip6 import BA, BE, BRR, IPv6, View, kbm
from mn_setup import AGENT, CARE_OF, CONTACT, Client, acknowledgement, next_update, order
from scapy.layers.inet6 import ICMPv6EchoRequest, ICMPv6ParamProblem, IPv6ExtHdrRouting, MIP6MH_BE, MIP6MH_BRR, MIP6MH_Generic, MIP6OptBRAdvice

reg = Group("replica, registration")
mn = Group("replica")


# Registration at the home agent. Each case starts the daemon anew.


def fresh(ident, section, title, *args):
    def register(run):
        def alone(c, *more):
            c.mark()
            order("start")
            try:
                run(c, *more)
            finally:
                order("kill")

        reg.case(ident, section, title, *args, alone=True)(alone)
        return run

    return register


@fresh("MN-2-1-1-1-001", "11.7.1", "Binding Update to the home agent: A and H set, Home Address option, Alternate Care-of Address option")
def first_update(c):
    u = next_update(c)
    c.check(u.view.src == CARE_OF and u.view.home == CONTACT, "from %s with home address %s" % (u.view.src, u.view.home))
    c.check(u.ack and u.home, "A %s, H %s" % (u.ack, u.home))
    c.check(u.alternate == CARE_OF, "Alternate Care-of Address %s" % u.alternate)
    c.check(u.nonces is None and 5 not in u.options, "options of return routability in a home registration")
    c.check(u.lifetime == 150, "lifetime %d units, configured are 150" % u.lifetime)
    c.check(u.reserved == 0, "reserved bits set")
    c.check(u.raw[0] == 59, "payload proto %d" % u.raw[0])
    c.check(u.view.checksum_right(), "wrong checksum")


@fresh("MN-2-1-1-1-004", "11.7.1", "K clear: keys do not move with the mobile node")
def key_management(c):
    c.check(not next_update(c).keys, "K is set")


@fresh("MN-2-1-1-1-011", "11.8", "First retransmission not before INITIAL_BINDACK_TIMEOUT_FIRST_REG (1.5 s), with a greater number")
def first_retransmission(c):
    a, b = next_update(c), next_update(c)
    c.check(b.at - a.at > 1.4, "retransmitted after %.2f s" % (b.at - a.at))
    c.check(b.seq == (a.seq + 1) % 65536, "number %d after %d" % (b.seq, a.seq))


@fresh("MN-2-1-1-1-013", "11.8", "Retransmissions back off exponentially until there is a response")
def back_off(c):
    a, b, d = next_update(c), next_update(c), next_update(c)
    c.check(d.at - b.at > 1.8 * (b.at - a.at) - 0.3, "intervals of %.2f and %.2f s" % (b.at - a.at, d.at - b.at))
    c.send(acknowledgement(d, AGENT))
    tunnel_works(c)
    found, _ = c.wire.find(c.start, lambda f: View(f.data[14:]).mobility(5) and f.ip.dst == AGENT, patience=0)
    c.check(not found, "retransmitted after the acknowledgement")


def tunnel_works(c):
    """Registered: what comes through the tunnel is answered through it."""
    for _ in range(40):
        ident = c.random.randrange(65536)
        c.send(IPv6(src=AGENT, dst=CARE_OF, hlim=64) / IPv6(src="2001:db8:c::1", dst=CONTACT, hlim=60) / ICMPv6EchoRequest(id=ident))

        def match(f):
            i = View(f.data[14:]).inner()
            return i if i and i.icmp(129) and i.payload[4:6] == ident.to_bytes(2, "big") else None

        found, _pos = c.wire.find(c.start, match, patience=0.5)
        if found:
            c.check(found.src == CONTACT and found.checksum_right(), "Echo Reply from %s" % found.src)
            return
    c.check(False, "nothing comes back through the tunnel")


@fresh("11.7.3/1", "11.7.3", "Accepted: packets travel through the tunnel")
def accepted(c):
    c.send(acknowledgement(next_update(c), AGENT))
    tunnel_works(c)


def ignored(c, change):
    """An acknowledgement that is not one: the replica goes on asking."""
    a = next_update(c)
    c.send(change(a))
    b = next_update(c)
    c.check(b.lifetime > 0, "the registration was given up")
    c.send(acknowledgement(b, AGENT))
    tunnel_works(c)


fresh("11.7.3/2", "11.7.3", "Acknowledgement with a number that was not sent: ignored",
      lambda u: acknowledgement(u, AGENT, seq=(u.seq + 1000) % 65536))(ignored)
fresh("11.7.3/3", "9.2", "Acknowledgement with a wrong checksum: ignored",
      lambda u: acknowledgement(u, AGENT, cksum=0x1234))(ignored)
fresh("11.7.3/4", "11.7.3", "Acknowledgement from somebody else: ignored",
      lambda u: acknowledgement(u, "2001:db8:9::fd"))(ignored)


@fresh("11.7.3/5", "11.7.3", "Status 135: the next number is after the one that the home agent tells")
def resync(c):
    a = next_update(c)
    told = (a.seq + 12345) % 65536
    c.send(acknowledgement(a, AGENT, status=135, seq=told))
    b = next_update(c, match=lambda u: u.seq != (a.seq + 1) % 65536)
    c.check(b.seq == (told + 1) % 65536, "number %d after %d was told" % (b.seq, told))
    c.send(acknowledgement(b, AGENT))
    tunnel_works(c)


def refused(c, status):
    """A refusal: the replica does not believe itself registered, and asks again
    later, not at once."""
    a = next_update(c)
    c.send(acknowledgement(a, AGENT, status=status))
    b = next_update(c)
    c.check(b.at - a.at > 0.5, "asked again after %.2f s" % (b.at - a.at))
    c.send(acknowledgement(b, AGENT))
    tunnel_works(c)


for status, text in ((128, "reason unspecified"), (129, "administratively prohibited"), (130, "insufficient resources"), (132, "not home subnet"), (133, "not home agent"), (134, "duplicate address")):
    fresh("11.7.3/%d" % (status - 122), "11.7.3", "Status %d, %s: asked again, but not at once" % (status, text), status)(refused)


@fresh("MN-2-1-1-1-008", "11.7.1", "A short lifetime granted: refreshed before it ends")
def refresh(c):
    a = next_update(c)
    c.send(acknowledgement(a, AGENT, lifetime=2))
    b = next_update(c)
    c.check(b.at - a.at < 20 and b.lifetime > 0, "refreshed after %.1f s with lifetime %d" % (b.at - a.at, b.lifetime))
    c.check(b.seq == (a.seq + 1) % 65536, "number %d after %d" % (b.seq, a.seq))


@fresh("11.7.3/20", "6.2.4", "Binding Refresh Advice: refreshed when the home agent wishes")
def refresh_advice(c):
    a = next_update(c)
    c.send(acknowledgement(a, AGENT, options=[MIP6OptBRAdvice(rinter=1)]))
    b = next_update(c)
    c.check(b.lifetime > 0, "lifetime %d" % b.lifetime)


@fresh("11.5.5/1", "11.5.5", "SIGTERM: de-registered with lifetime 0, the number after the last")
def deregister(c):
    import threading

    a = next_update(c)
    c.send(acknowledgement(a, AGENT))
    tunnel_works(c)
    stop = threading.Thread(target=order, args=("stop",))
    stop.start()
    b = next_update(c)
    c.check(b.lifetime == 0 and b.ack and b.home, "lifetime %d, A %s, H %s" % (b.lifetime, b.ack, b.home))
    c.check(b.seq == (a.seq + 1) % 65536, "number %d after %d" % (b.seq, a.seq))
    c.check(b.view.home == CONTACT and b.view.checksum_right(), "home address %s" % b.view.home)
    c.send(acknowledgement(b, AGENT))
    stop.join()


# Clients: return routability and route optimisation.


@mn.case("11.3.1/1", "11.3.1", "A client's connection through the tunnel: answered through it")
def through_the_tunnel(c):
    Client(c).connect()


@mn.case("11.6.1/1", "11.6.1", "Home Test Init by the home agent, Care-of Test Init straight, with cookies of their own")
def inits(c):
    k = Client(c)
    k.connect()
    home, care_of = k.home_init(), k.care_of_init()
    c.check(home.payload[8:16] != care_of.payload[8:16], "one cookie for both")
    c.check(home.payload[6:8] == b"\0\0" and care_of.payload[6:8] == b"\0\0", "reserved bits set")


@mn.case("11.7.2/1", "11.7.2", "Binding Update to the client: Home Address option, nonce indices, authenticator, H clear")
def update(c):
    k = Client(c)
    k.connect()
    k.answer_tests()
    u = k.update()
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
    k = Client(c)
    k.connect()
    i = k.home_init()
    c.send(k.tunnelled(k.home_test(i, cookie=b"notthis!")))
    k.answer_care_of()
    again(c, k, i)


@mn.case("11.6.2/2", "11.6.2", "Care-of Test with a wrong cookie: ignored, the Init is sent again")
def wrong_care_of_cookie(c):
    k = Client(c)
    k.connect()
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
    k = Client(c)
    k.connect()
    i = k.home_init()
    k.answer_care_of()
    c.send(IPv6(src=k.addr, dst=CONTACT, hlim=64) / k.home_test(i))
    again(c, k, i)


@mn.case("11.6.2/4", "9.2", "Home Test with a wrong checksum: ignored")
def home_test_checksum(c):
    k = Client(c)
    k.connect()
    i = k.home_init()
    k.answer_care_of()
    c.send(k.tunnelled(k.home_test(i, cksum=0x4321)))
    again(c, k, i)


@mn.case("11.7.3/30", "11.7.3", "Client's acknowledgement with a wrong authenticator: ignored, updated again")
def forged(c):
    k = Client(c)
    k.connect()
    k.answer_tests()
    u = k.update()
    k.acknowledge(u, spoil=True)
    u2 = k.update(lambda x: x.at > u.at)
    k.acknowledge(u2)
    k.is_optimised()


@mn.case("11.7.3/31", "11.7.3", "Client's acknowledgement without authenticator: ignored, updated again")
def unsigned(c):
    k = Client(c)
    k.connect()
    k.answer_tests()
    u = k.update()
    c.send(acknowledgement(u, k.addr))
    k.acknowledge(k.update(lambda x: x.at > u.at))
    k.is_optimised()


@mn.case("11.7.3/32", "11.7.3", "Client says 135: the next number is after the one told")
def client_resync(c):
    k = Client(c)
    k.connect()
    k.answer_tests()
    u = k.update()
    told = (u.seq + 777) % 65536
    k.acknowledge(u, status=135, seq=told)
    u2 = k.update(lambda x: x.seq != u.seq)
    c.check(u2.seq == (told + 1) % 65536, "number %d after %d was told" % (u2.seq, told))


def nonce_expired(c, status, home):
    k = Client(c)
    k.connect()
    k.answer_tests()
    u = k.update()
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
    k = Client(c)
    k.connect()
    k.answer_tests()
    a = k.update()
    b = k.update(lambda x: x.at > a.at)
    c.check(b.at - a.at > 0.9, "again after %.2f s" % (b.at - a.at))
    k.acknowledge(b)
    k.is_optimised()


@mn.case("11.3.5/1", "11.3.5", "Client without Mobility Header (ICMPv6 4/1): it stays in the tunnel, and is not asked again")
def no_mobility(c):
    k = Client(c)
    k.connect()
    i = k.home_init()
    c.send(k.tunnelled(ICMPv6ParamProblem(code=1, ptr=6) / i.data))
    k.is_tunnelled()
    k.is_tunnelled()


@mn.case("11.3.5/2", "11.3.5", "Client that does not answer at all: it stays in the tunnel")
def silent_client(c):
    k = Client(c)
    k.connect()
    k.home_init()
    k.is_tunnelled()


@mn.case("11.3.6/1", "11.3.6", "Binding Error, status 1: the binding is gone, made again or the tunnel used")
def binding_error(c):
    k = Client(c)
    k.bind()
    c.send(IPv6(src=k.addr, dst=CARE_OF, hlim=64) / MIP6MH_BE(status=1, ha=CONTACT))

    def match(v):
        if v.mobility(2) and v.dst == k.addr or v.mobility(5) and v.dst == k.addr:
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
    from mip6 import routing_header

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


_ = (BA, BRR, kbm, time)
