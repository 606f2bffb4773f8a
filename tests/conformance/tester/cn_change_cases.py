"""Correspondent node: de-registration, handover, and the numbers of Binding
Updates: nonce indices, sequence (RFC 6275 §9.5).
"""

from cn_setup import MobileNode, bound, cn, tested
from mip6 import BE, kbm


@cn.case("9.5.3/1", "9.5.3", "Lifetime 0 from abroad: binding deleted, acknowledged")
def deletion(c):
    m = bound(c)
    m.send_update(lifetime=0)
    ba = m.acknowledged(0)
    c.check(ba.lifetime == 0, "lifetime %d" % ba.lifetime)
    m.is_unbound()


@cn.case("9.5.3/2", "9.5.3", "Lifetime 0, A clear: binding deleted, not acknowledged")
def silent_deletion(c):
    m = bound(c)
    m.send_update(lifetime=0, flags="")
    m.silence("an acknowledgement that was not asked for")
    m.is_unbound()


def home_deletion(c, lifetime, hao):
    m = bound(c)
    m.home_test()
    m.send_update(lifetime=lifetime, care_of=m.home, hao=hao)
    m.acknowledged(0, at=m.home, routed=False)
    m.is_unbound()


cn.case("9.5.3/3", "9.5.3", "Lifetime 0 from home, no Home Address option: binding deleted", 0, False)(home_deletion)
cn.case("9.5.3/4", "9.5.3", "Lifetime not 0, care-of address is the home address, no Home Address option: binding deleted", 20, False)(home_deletion)
cn.case("9.5.3/5", "9.5.3", "Lifetime 0 from home, Home Address option included, after return routability: binding deleted", 0, True)(home_deletion)


@cn.case("CN-3-3-4", "9.5.3", "From home, Home Address option included, without another return routability: binding deleted")
def home_deletion_tokens_kept(c):
    m = bound(c)
    m.send_update(lifetime=0, care_of=m.home, hao=True)
    m.acknowledged(0, at=m.home, routed=False)
    m.is_unbound()


@cn.case("9.5.3/6", "9.5.3", "Deletion with the key of a registration: dropped in silence")
def deletion_wrong_key(c):
    m = bound(c)
    m.send_update(lifetime=0, key=kbm(m.home_token.token, m.care_of_tokens[m.care_of].token))
    m.silence("an answer", m.other_care_of)
    c.mark()
    m.is_bound()


@cn.case("9.5.3/7", "9.5.3", "Deletion of what is not bound: accepted")
def deletion_of_nothing(c):
    m = tested(c)
    m.send_update(lifetime=0)
    m.acknowledged(0)
    m.is_unbound()


@cn.case("9.5.3/8", "9.5.3", "A copy of an old Binding Update does not bring a deleted binding back")
def replay(c):
    m = tested(c)
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
    m = bound(c)
    m.care_of_test(m.other_care_of)
    m.send_update(care_of=m.other_care_of)
    m.acknowledged(0, at=m.other_care_of)
    m.is_bound(m.other_care_of)
    v = m.echo(m.care_of)
    c.check(v.mobility(BE), "the old care-of address is still believed")


@cn.case("9.5.2/3", "5.2.7", "Handover with the home token of before, both tests made again: the same")
def handover_new_tokens(c):
    m = bound(c)
    m.home_test()
    m.care_of_test(m.other_care_of)
    m.send_update(care_of=m.other_care_of)
    m.acknowledged(0, at=m.other_care_of)
    m.is_bound(m.other_care_of)


@cn.case("CN-3-4-3", "9.5.1", "Handover with a Binding Update that fails a test: the old binding stays")
def failed_handover(c):
    m = bound(c)
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
    m = tested(c)
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
