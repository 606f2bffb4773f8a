"""The replica under test: the mobile node's half. The tester is its router, its
home agent, and its clients."""

import json
import struct
import sys
import threading

from mip6 import (
    BU,
    COTI,
    HOTI,
    IPv6,
    MIP6MH_BA,
    authentic,
    kbm,
    routing_header,
    authenticate,
)
from scapy.layers.inet import TCP
from scapy.layers.inet6 import MIP6MH_BU, MIP6MH_CoT, MIP6MH_HoT, MIP6OptBindingAuthData
from wire import Failure

CONTACT = "2001:db8:9::1"
AGENT = "2001:db8:9::ff"
CARE_OF = "2001:db8:1::10"
ROUTER = "2001:db8:1::1"
PORT = 4000


class Update:
    """A Binding Update that the replica sent (§6.1.7)."""

    def __init__(self, view, at):
        p = view.payload
        self.view, self.at, self.raw = view, at, p
        self.seq, flags, self.lifetime = struct.unpack("!HHH", p[6:12])
        self.ack, self.home, self.link_local, self.keys = (bool(flags & b) for b in (0x8000, 0x4000, 0x2000, 0x1000))
        self.reserved = flags & 0x0FFF | p[3]
        self.options = {o.otype: o for o in MIP6MH_BU(p).options if o.otype > 1}

    @property
    def alternate(self):
        return self.options[3].acoa if 3 in self.options else None

    @property
    def nonces(self):
        return (self.options[4].hni, self.options[4].coni) if 4 in self.options else None


def update_to(view, dst):
    return view.mobility(BU) and view.dst == dst


class Replica:
    """answers: whether the tester's home agent accepts by itself."""

    def __init__(self, wire, answers):
        self.wire, self.answers = wire, answers
        wire.present.update({ROUTER, "fe80::1"})
        self.registered = threading.Event()
        if answers:
            wire.responders.append(self.accept)

    def ready(self):
        """Before the first case the replica has to be registered: it may have
        asked before the tester was there."""
        if self.answers and not self.registered.wait(90):
            raise SystemExit("the replica does not register")

    def accept(self, frame):
        from mip6 import View

        v = View(frame.data[14:])
        if update_to(v, AGENT):
            u = Update(v, 0)
            self.wire.send(acknowledgement(u, AGENT))
            self.registered.set()


def acknowledgement(update, src, status=0, seq=None, lifetime=None, dst=CARE_OF, routed=True, key=None, covered=CARE_OF, options=(), spoil=False, **fields):
    """A Binding Acknowledgement for an update, signed if there is a key."""
    if lifetime is None:
        lifetime = 0 if status >= 128 else update.lifetime
    ba = MIP6MH_BA(res=0, res2=0, status=status, flags=0, seq=update.seq if seq is None else seq, mhtime=lifetime, options=list(options), **fields)
    if key is not None:
        ba.options = list(ba.options) + [MIP6OptBindingAuthData(olen=12, authenticator=0)]
        ba.cksum = 0
        ba.options[-1].authenticator = int.from_bytes(authenticate(key, covered, src, bytes(ba)), "big")
        if spoil:
            ba.options[-1].authenticator ^= 1
        ba.cksum = fields.get("cksum")
    packet = IPv6(src=src, dst=dst, hlim=64)
    if routed:
        packet = packet / routing_header(CONTACT)
    return packet / ba


def next_update(case, dst=AGENT, match=None, what="Binding Update"):
    """The next Binding Update to dst, with when it came."""

    def look(frame):
        from mip6 import View

        v = View(frame.data[14:])
        if not update_to(v, dst):
            return None
        u = Update(v, frame.at)
        return u if match is None or match(u) else None

    return case.expect_frame("%s to %s" % (what, dst), look)


def follows(case, update, number):
    """The update's number is the one after."""
    case.check(update.seq == (number + 1) % 65536, "number %d after %d" % (update.seq, number))


_order = threading.Lock()


def order(do):
    """Has the Go side do something to the node, and waits for it."""
    with _order:
        print(json.dumps({"do": do}), flush=True)
        answer = sys.stdin.readline().strip()
    if answer != "done":
        raise Failure("%s: %s" % (do, answer))


class Client:
    """A client with a TCP connection to the contact address, by the home
    agent's tunnel until told otherwise."""

    def __init__(self, case):
        self.case = case
        self.addr = "2001:db8:a:%x::1" % case.n
        self.sport = 20000 + case.n
        self.seq = 1000
        self.home_token, self.care_of_token = case.random.randbytes(8), case.random.randbytes(8)
        self.indices = (7, 9)
        self.key = kbm(self.home_token, self.care_of_token)

    def tcp(self, flags, data=b"", ack=0):
        return TCP(sport=self.sport, dport=PORT, flags=flags, seq=self.seq, ack=ack, window=65535) / data

    def tunnelled(self, payload, src=None):
        return IPv6(src=AGENT, dst=CARE_OF, hlim=64) / IPv6(src=src or self.addr, dst=CONTACT, hlim=60) / payload

    def connect(self):
        """The three-way handshake through the tunnel; what it checks of the
        way back."""
        c = self.case
        c.send(self.tunnelled(self.tcp("S")))

        def match(v):
            i = v.inner()
            if not i or i.next_header != 6 or i.dst != self.addr:
                return None
            return v if i.payload[13] & 0x12 == 0x12 else None

        v = c.expect("SYN-ACK through the tunnel", match)
        i = v.inner()
        c.check((v.src, v.dst) == (CARE_OF, AGENT), "the tunnel is from %s to %s" % (v.src, v.dst))
        c.check(i.src == CONTACT, "the SYN-ACK is from %s" % i.src)
        c.check(i.checksum_right(), "the SYN-ACK has a wrong checksum")
        self.seq += 1
        self.ack = struct.unpack("!I", i.payload[4:8])[0] + 1
        c.send(self.tunnelled(self.tcp("A", ack=self.ack)))

    # Return routability, the correspondent's half (§9.4).

    def home_init(self):
        """The Home Test Init: by the tunnel, from the contact address (§11.6.1)."""
        c = self.case

        def match(v):
            i = v.inner()
            return v if i and i.mobility(HOTI) and i.dst == self.addr else None

        v = c.expect("Home Test Init through the tunnel", match)
        i = v.inner()
        c.check((v.src, v.dst) == (CARE_OF, AGENT), "the tunnel is from %s to %s" % (v.src, v.dst))
        c.check(i.src == CONTACT, "Home Test Init from %s" % i.src)
        c.check(i.checksum_right(), "Home Test Init has a wrong checksum")
        c.check(i.home is None and i.routing_home is None, "Home Test Init has extension headers")
        return i

    def care_of_init(self):
        c = self.case
        v = c.expect("Care-of Test Init", lambda v: v if v.mobility(COTI) and v.dst == self.addr else None)
        c.check(v.src == CARE_OF, "Care-of Test Init from %s" % v.src)
        c.check(v.checksum_right(), "Care-of Test Init has a wrong checksum")
        c.check(v.home is None, "Care-of Test Init has a Home Address option")
        return v

    def home_test(self, init, cookie=None, **fields):
        return MIP6MH_HoT(res=0, index=self.indices[0], cookie=cookie or init.payload[8:16], token=self.home_token, **fields)

    def care_of_test(self, init, cookie=None, **fields):
        return MIP6MH_CoT(res=0, mhtype=4, index=self.indices[1], cookie=cookie or init.payload[8:16], token=self.care_of_token, **fields)

    def answer_home(self, init=None):
        self.case.send(self.tunnelled(self.home_test(init or self.home_init())))

    def answer_care_of(self, init=None):
        self.case.send(IPv6(src=self.addr, dst=CARE_OF, hlim=64) / self.care_of_test(init or self.care_of_init()))

    def answer_tests(self):
        self.answer_home()
        self.answer_care_of()

    def update(self, match=None):
        """The Binding Update, and that it is authorised."""
        u = next_update(self.case, self.addr, match)
        key = self.key if u.lifetime else kbm(self.home_token)
        self.case.check(authentic(u.raw, key, CARE_OF if u.lifetime else CONTACT, self.addr), "the Binding Update has no right authenticator")
        return u

    def acknowledge(self, u, **kwargs):
        kwargs.setdefault("key", self.key if u.lifetime else kbm(self.home_token))
        kwargs.setdefault("covered", CARE_OF if u.lifetime else CONTACT)
        self.case.send(acknowledgement(u, self.addr, **kwargs))

    def bind(self):
        """All of it; the client is route optimised then."""
        self.connect()
        self.answer_tests()
        u = self.update()
        self.acknowledge(u)
        self.is_optimised()
        return u

    # How the replica's packets travel: a line sent is echoed.

    def line(self, routed):
        c = self.case
        data = b"line %d\r\n" % c.random.randrange(1 << 30)
        segment = self.tcp("PA", data, self.ack)
        if routed:
            c.send(IPv6(src=self.addr, dst=CARE_OF, hlim=64) / routing_header(CONTACT) / segment)
        else:
            c.send(self.tunnelled(segment))
        self.seq += len(data)
        return data

    def is_optimised(self):
        """Packets go straight: Home Address option out, type 2 routing header
        in (§11.3.1, §11.3.3)."""
        c = self.case
        c.mark()
        for _ in range(20):  # the route is set a moment after the acknowledgement
            self.line(routed=True)
            found, _pos = c.wire.find(c.start, lambda f: self.straight(f), patience=1)
            if found:
                break
        c.check(found, "nothing comes straight from the care-of address")
        c.check(found.home == CONTACT, "Home Address option %s" % found.home)
        c.check(found.checksum_right(), "wrong checksum over the home address")
        c.mark()

    def straight(self, frame):
        from mip6 import View

        v = View(frame.data[14:])
        return v if v.next_header == 6 and v.dst == self.addr and v.src == CARE_OF else None

    def is_tunnelled(self):
        c = self.case
        c.mark()
        for _ in range(20):
            self.line(routed=False)
            found, _pos = c.wire.find(c.start, lambda f: self.in_tunnel(f), patience=1)
            if found:
                break
        c.check(found, "nothing comes through the tunnel")
        c.mark()

    def in_tunnel(self, frame):
        from mip6 import View

        i = View(frame.data[14:]).inner()
        return i if i and i.next_header == 6 and i.dst == self.addr and i.src == CONTACT else None
