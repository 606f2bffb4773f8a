"""The correspondent node under test, and the mobile nodes that talk to it."""

import time

from case import Group
from mip6 import (
    BA,
    BE,
    COT,
    HOT,
    Acknowledgement,
    BindingErrorMessage,
    IPv6,
    alternate,
    authentic,
    authorised,
    binding_update,
    coti,
    echo_request,
    home_address_option,
    hoti,
    kbm,
    nonces,
)
from scapy.layers.inet6 import MIP6MH_CoT, MIP6MH_HoT

NODE = "2001:db8:a::10"
ROUTER = "2001:db8:a::1"

cn = Group("correspondent")


class Correspondent:
    def __init__(self, wire):
        self.wire = wire
        wire.present.update({ROUTER, "fe80::1"})


class Token:
    """What a Home Test or Care-of Test brought."""

    def __init__(self, token, index):
        self.token, self.index = bytes(token), index


class MobileNode:
    def __init__(self, case):
        n = case.n
        self.case, self.n = case, n
        self.home = "2001:db8:4:%x::1" % n
        self.care_of = "2001:db8:1:%x::10" % n
        self.other_care_of = "2001:db8:2:%x::10" % n
        self.seq = 100
        self.home_token = None
        self.care_of_tokens = {}

    # Return routability (§5.2, §9.4).

    def test(self, source, init, kind, cls, what):
        c = self.case
        c.send(IPv6(src=source, dst=NODE, hlim=64) / init)
        cookie = init.cookie

        def match(v):
            m = v.mobility(kind)
            return v if m and v.dst == source and m[8:16] == cookie else None

        v = c.expect(what, match)
        c.check(v.src == NODE, "%s is from %s" % (what, v.src))
        c.check(v.checksum_right(), "%s has a wrong checksum" % what)
        c.check(v.home is None and v.routing_home is None, "%s has extension headers" % what)
        m = cls(v.payload)
        c.mark()
        return Token(m.token, m.index)

    def home_test(self):
        self.home_token = self.test(self.home, hoti(self.case.cookie()), HOT, MIP6MH_HoT, "Home Test")
        return self.home_token

    def care_of_test(self, care_of=None):
        care_of = care_of or self.care_of
        t = self.test(care_of, coti(self.case.cookie()), COT, MIP6MH_CoT, "Care-of Test")
        self.care_of_tokens[care_of] = t
        return t

    def return_routability(self):
        self.home_test()
        self.care_of_test()

    # Binding Updates.

    def update(self, flags="A", lifetime=100, seq=None, care_of=None, src=None, hao=True, options=None, indices=None, spoil=False, key=None, covered=None, bare=False, **fields):
        """An authorised Binding Update. For a deletion (lifetime 0, or the care-of
        address is the home address) the key is made of the home token only."""
        care_of = care_of or self.care_of
        src = src or care_of
        self.seq = seq = (self.seq + 1) % 65536 if seq is None else seq
        deletes = lifetime == 0 or care_of == self.home
        if key is None:
            other = b"" if deletes else self.care_of_tokens[care_of].token
            key = kbm(self.home_token.token, other)
        self.key, self.covered = key, covered or (self.home if deletes else care_of)
        if indices is None:
            other = self.care_of_tokens.get(care_of) or Token(b"", 0)
            indices = (self.home_token.index, 0 if deletes else other.index)
        if options is None:
            options = [nonces(*indices)]
            if care_of != src:
                options.append(alternate(care_of))
        bu = binding_update(seq, flags, lifetime, options, **fields)
        if not bare:
            bu = authorised(bu, self.key, self.covered, NODE)
        if spoil:
            bu.options[-1].authenticator ^= 1
        packet = IPv6(src=src, dst=NODE, hlim=64)
        if hao:
            packet = packet / home_address_option(self.home)
        return packet / bu

    def send_update(self, *args, **kwargs):
        self.case.send(self.update(*args, **kwargs))

    def acknowledged(self, status, seq=None, at=None, signed=True, routed=True):
        c, at = self.case, at or self.care_of
        seq = self.seq if seq is None else seq

        def match(v):
            if not v.mobility(BA) or v.dst != at:
                return None
            ba = Acknowledgement(v)
            return ba if ba.seq == seq else None

        what = "Binding Acknowledgement"
        ba = c.expect("%s to %s with number %d" % (what, at, seq), match)
        c.check(ba.status == status, "%s has status %d, want %d" % (what, ba.status, status))
        c.check(ba.view.src == NODE, "%s is from %s" % (what, ba.view.src))
        c.check(ba.view.checksum_right(), "%s has a wrong checksum" % what)
        c.check(ba.reserved == 0 and not ba.keys, "%s has bits set that it may not" % what)
        c.check(ba.view.routing_home == (self.home if routed else None), "%s has routing header %s" % (what, ba.view.routing_home))
        if signed:
            c.check(authentic(ba.raw, self.key, self.covered, NODE), "%s has no right authenticator" % what)
        c.mark()
        return ba

    def bind(self, **kwargs):
        self.return_routability()
        self.send_update(**kwargs)
        return self.acknowledged(0)

    # How the node treats it.

    def echo(self, care_of=None, hao=True):
        """Sends an Echo Request as a mobile node with a binding does, and
        returns what is answered."""
        c, care_of = self.case, care_of or self.care_of
        ident = c.random.randrange(65536)
        packet = IPv6(src=care_of if hao else self.home, dst=NODE, hlim=64)
        if hao:
            packet = packet / home_address_option(self.home)
        c.send(packet / echo_request(ident))

        def match(v):
            if v.icmp(129) and v.payload[4:6] == ident.to_bytes(2, "big"):
                return v
            if v.mobility(BE) and v.dst == care_of:
                return v
            return None

        v = c.expect("answer to an Echo Request", match)
        c.mark()
        return v

    def is_bound(self, care_of=None):
        c, care_of = self.case, care_of or self.care_of
        v = self.echo(care_of)
        c.check(v.icmp(129), "Echo Request with a Home Address option draws a Binding Error")
        self.optimised(v, care_of)
        # And what is sent to the home address goes to the care-of address.
        self.optimised(self.echo(care_of, hao=False), care_of)

    def optimised(self, v, care_of):
        c = self.case
        c.check(v.dst == care_of and v.routing_home == self.home, "Echo Reply to %s, routing header %s; want %s and %s" % (v.dst, v.routing_home, care_of, self.home))
        c.check(v.checksum_right(), "Echo Reply has a wrong checksum")

    def is_unbound(self, care_of=None):
        c, care_of = self.case, care_of or self.care_of
        v = self.echo(care_of)
        c.check(v.mobility(BE), "Echo Request with a Home Address option is answered")
        be = BindingErrorMessage(v)
        c.check(be.status == 1 and be.home == self.home, "Binding Error, status %d, home address %s" % (be.status, be.home))
        c.check(v.checksum_right() and v.routing_home is None, "Binding Error has a wrong checksum or a routing header")
        v = self.echo(care_of, hao=False)
        c.check(v.dst == self.home and v.routing_home is None, "Echo Reply to the home address goes to %s" % v.dst)

    def expires(self):
        """The binding's lifetime ends."""
        for _ in range(80):
            if self.echo().mobility(BE):
                return
            time.sleep(0.5)
        self.case.check(False, "the binding outlives its lifetime by far")

    # Silence: another mobile node's test, asked for later, is answered first.

    def fence(self):
        c = self.case
        n = c.new_number()
        src, cookie = "2001:db8:6:%x::1" % n, c.cookie()
        c.send(IPv6(src=src, dst=NODE, hlim=64) / hoti(cookie))
        c.expect("Home Test of another", lambda v: v.mobility(HOT) and v.dst == src)

    def silence(self, what, *at):
        at = at or (self.care_of, self.home, self.other_care_of)
        self.case.never(what, lambda v: v.dst in at and not v.icmp(135), self.fence)


def tested(case):
    """A mobile node that has done return routability."""
    m = MobileNode(case)
    m.return_routability()
    return m


def bound(case, **kwargs):
    """A mobile node with a binding; kwargs are of its Binding Update."""
    m = MobileNode(case)
    m.bind(**kwargs)
    return m
