"""A mobile node that protects its signalling with the home agent (RFC 6275
§5.1, RFC 3776, RFC 4877): ESP as Scapy makes it and opens it, with the keys of
the files that the home agent under test has, too.

    IPv6 (care-of, home agent) | Home Address option | ESP | Binding Update
    IPv6 (home agent, care-of) | type 2 routing header | ESP | Binding Acknowledgement
    IPv6 (care-of, home agent) | ESP | IPv6 (home, correspondent) | Home Test Init
    IPv6 (home agent, care-of) | ESP | IPv6 (correspondent, home) | Home Test
"""

import os
import tomllib

from ha_setup import AGENT, MobileNode
from mip6 import BA, HOT, HOTI, IPV6, Acknowledgement, IPv6, View, echo_request, hoti
from scapy.layers.inet6 import MIP6MH_HoT
from scapy.layers.ipsec import ESP, IPSecIntegrityError, SecurityAssociation
from wire import Failure

PROTOCOL_ESP = 50
GCM, CBC = "aes-gcm", "aes-cbc-hmac-sha256"
AES_KEY = 32  # octets; what is behind it is the salt, or the key for HMAC

# Which pair of home address and care-of address a case has for itself: a
# number that setup.go makes keys and a configuration for. The odd ones are
# GCM's, the even ones CBC's.
FENCE = 1
NODES = 0xE000  # and its node's number, which no other case has


class Association:
    """One security association, either end of it."""

    def __init__(self, algorithm, spi, key, tunnel=None):
        if algorithm == GCM:
            how = {"crypt_algo": "AES-GCM", "crypt_key": key}
        else:
            how = {"crypt_algo": "AES-CBC", "crypt_key": key[:AES_KEY], "auth_algo": "SHA2-256-128", "auth_key": key[AES_KEY:]}
        self.sa = SecurityAssociation(ESP, spi=spi, tunnel_header=tunnel, **how)
        self.spi = spi

    def seal(self, packet):
        return bytes(self.sa.encrypt(IPv6(bytes(packet))))

    def open(self, v):
        """What is in the ESP of this View: the protocol and its octets."""
        sa, esp = self.sa, ESP(v.payload)
        try:
            sa.auth_algo.verify(esp, sa.auth_key)
            plain = sa.crypt_algo.decrypt(sa, esp, sa.crypt_key, sa.crypt_icv_size or sa.crypt_algo.icv_size or sa.auth_algo.icv_size)
        except IPSecIntegrityError as e:
            raise Failure("ESP to %s does not open: %s" % (v.dst, e)) from e
        return plain.nh, bytes(plain.data)


class Keys:
    """The associations of a pair, from its key file."""

    def __init__(self, number, care_of):
        with open(os.path.join(os.environ["IPSEC_KEYS"], "pair-%d.keys" % number), "rb") as f:
            generation = tomllib.load(f)["generation"][-1]
        self.algorithm = generation["algorithm"]

        def association(name, tunnel=None):
            a = generation[name]
            return Association(self.algorithm, a["spi"], bytes.fromhex(a["key"]), tunnel)

        self.bu, self.ba = association("bu"), association("ba")
        self.hoti = association("hoti", IPv6(src=care_of, dst=AGENT, hlim=64))
        self.hot = association("hot", IPv6(src=AGENT, dst=care_of, hlim=64))


class ProtectedNode(MobileNode):
    """A mobile node with keys."""

    def __init__(self, case, pair):
        super().__init__(case, NODES + pair)
        self.keys = Keys(pair, self.care_of)

    def send_update(self, *args, **kwargs):
        """Sends it in ESP; gives its number."""
        self.case.send(self.keys.bu.seal(self.update(*args, **kwargs)))
        return self.seq

    def send_clear(self, *args, **kwargs):
        super().send_update(*args, **kwargs)

    def opened(self, v):
        """The packet as it was before it was protected; None if it was not
        protected as Binding Acknowledgements are."""
        if v.next_header != PROTOCOL_ESP or int.from_bytes(v.payload[:4], "big") != self.keys.ba.spi:
            return None
        return v.with_payload(*self.keys.ba.open(v))

    def from_tunnel(self, v):
        """The packet in the tunnel that is for Home Tests."""
        if v.next_header != PROTOCOL_ESP or v.dst != self.care_of or int.from_bytes(v.payload[:4], "big") != self.keys.hot.spi:
            return None
        protocol, data = self.keys.hot.open(v)
        self.case.check(protocol == IPV6, "protocol %d in the tunnel" % protocol)
        self.case.check((v.src, v.headers) == (AGENT, []), "the tunnel is from %s, with headers %s" % (v.src, v.headers))
        return View(data)

    def init(self, cookie):
        """A Home Test Init as it goes into the tunnel."""
        return IPv6(src=self.home, dst=self.correspondent, hlim=60) / hoti(cookie)

    def fence(self):
        """As MobileNode's; but where nobody registers in clear, the answer must
        be one to somebody with keys."""
        setup = self.case.setup
        with setup.fence_lock:
            if setup.fence is None:
                # The first registration waits for duplicate address detection,
                # and another meanwhile would take its place.
                setup.fence = ProtectedNode(self.case, FENCE)
                self.expect_answer(setup.fence, setup.fence.send_update())
            number = setup.fence.send_update()
        self.expect_answer(setup.fence, number)

    def expect_answer(self, to, number):
        def match(v):
            o = to.opened(v) if v.dst == to.care_of else None
            return o and o.mobility(BA) and Acknowledgement(o).seq == number

        self.case.expect("answer to the next Binding Update in ESP", match)


# What cases of more than one set-up do.


def unprotected_update(c, pair):
    """In clear nothing is registered and nothing is deleted; in ESP it is."""
    m = ProtectedNode(c, pair)
    m.send_clear(seq=100)
    m.silence("an answer to a Binding Update in clear")
    m.is_unbound()
    m.register(seq=20)  # 135, had the number 100 been heard
    m.is_bound()
    m.is_tunnelled()
    c.mark()
    m.send_clear(lifetime=0)
    m.silence("an answer to a de-registration in clear")
    m.is_bound()


def unprotected_init(c, pair):
    """In clear a Home Test Init is not sent on; in ESP it is."""
    m = ProtectedNode(c, pair)
    m.register()
    cookie, other = c.cookie(), c.cookie()
    c.send(IPv6(src=m.care_of, dst=AGENT, hlim=64) / m.init(cookie))
    c.never("a Home Test Init that came in clear", lambda v: sent_on(v, m, cookie), lambda: (reversed_echo(c, m), m.fence()))
    c.send(m.keys.hoti.seal(m.init(other)))
    v = c.expect("Home Test Init out of the ESP tunnel", lambda v: v if sent_on(v, m, other) else None)
    c.check((v.src, v.headers) == (m.home, []), "from %s, with headers %s" % (v.src, v.headers))
    c.check(v.hop_limit == 59, "hop limit %d, want 59" % v.hop_limit)
    c.check(v.checksum_right(), "wrong checksum")


def sent_on(v, m, cookie):
    return v.mobility(HOTI) and v.payload[8:16] == cookie and v.dst == m.correspondent


def reversed_echo(c, m):
    """Other packets go through the tunnel in clear; what came before this one
    has been dealt with then."""
    data = b"reverse %d" % c.random.randrange(1 << 30)
    c.send(IPv6(src=m.care_of, dst=AGENT, hlim=64) / IPv6(src=m.home, dst=m.correspondent, hlim=60) / echo_request(3, data=data))
    c.expect("packet out of the tunnel", lambda v: v.icmp(128) and v.payload.endswith(data) and v.next_header != IPV6)


def protected_test(c, pair):
    """A correspondent's Home Test comes in ESP, and in clear it does not."""
    m = ProtectedNode(c, pair)
    m.register()
    cookie = c.cookie()
    c.send(IPv6(src=m.correspondent, dst=m.home, hlim=64) / MIP6MH_HoT(res=0, index=3, cookie=cookie, token=b"12345678"))

    def match(v):
        i = m.from_tunnel(v)
        return i if i and i.mobility(HOT) and i.payload[8:16] == cookie else None

    i = c.expect("Home Test in the ESP tunnel", match)
    c.check((i.src, i.dst) == (m.correspondent, m.home), "in the tunnel from %s to %s" % (i.src, i.dst))
    c.check(i.checksum_right(), "wrong checksum")
    c.never("a Home Test in clear", lambda v: v.inner() and v.inner().mobility(HOT) and v.dst == m.care_of, m.fence)
