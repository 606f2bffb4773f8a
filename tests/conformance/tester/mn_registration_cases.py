"""Mobile node: registration at the home agent (RFC 6275 §11.7.1, §11.8). Each
case starts the daemon anew.
"""

import threading

from case import Group
from mip6 import BU, IPv6, View
from mn_setup import AGENT, CARE_OF, CONTACT, acknowledgement, follows, next_update, order
from scapy.layers.inet6 import ICMPv6EchoRequest, MIP6OptBRAdvice

reg = Group("replica, registration")


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
    follows(c, b, a.seq)


@fresh("MN-2-1-1-1-013", "11.8", "Retransmissions back off exponentially until there is a response")
def back_off(c):
    a, b, d = next_update(c), next_update(c), next_update(c)
    c.check(d.at - b.at > 1.8 * (b.at - a.at) - 0.3, "intervals of %.2f and %.2f s" % (b.at - a.at, d.at - b.at))
    c.send(acknowledgement(d, AGENT))
    tunnel_works(c)
    found, _ = c.wire.find(c.start, lambda f: View(f.data[14:]).mobility(BU) and f.ip.dst == AGENT, patience=0)
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
    follows(c, b, told)
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
    follows(c, b, a.seq)


@fresh("11.7.3/20", "6.2.4", "Binding Refresh Advice: refreshed when the home agent wishes")
def refresh_advice(c):
    a = next_update(c)
    c.send(acknowledgement(a, AGENT, options=[MIP6OptBRAdvice(rinter=1)]))
    b = next_update(c)
    c.check(b.lifetime > 0, "lifetime %d" % b.lifetime)


@fresh("11.5.5/1", "11.5.5", "SIGTERM: de-registered with lifetime 0, the number after the last")
def deregister(c):
    a = next_update(c)
    c.send(acknowledgement(a, AGENT))
    tunnel_works(c)
    stop = threading.Thread(target=order, args=("stop",))
    stop.start()
    b = next_update(c)
    c.check(b.lifetime == 0 and b.ack and b.home, "lifetime %d, A %s, H %s" % (b.lifetime, b.ack, b.home))
    follows(c, b, a.seq)
    c.check(b.view.home == CONTACT and b.view.checksum_right(), "home address %s" % b.view.home)
    c.send(acknowledgement(b, AGENT))
    stop.join()
