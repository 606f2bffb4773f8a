"""What more than one role has to answer in the same way."""

import struct

from mip6 import BE, BindingErrorMessage, View


def binding_error(c, to, home):
    """An unrecognized MH Type drew a Binding Error (RFC 6275 §9.2)."""
    v = c.expect("Binding Error", lambda v: v if v.mobility(BE) and v.dst == to else None)
    be = BindingErrorMessage(v)
    c.check(be.status == 2, "status %d, want 2 (unrecognized MH Type)" % be.status)
    c.check(be.home == home, "home address %s, want %s" % (be.home, home))
    c.check(v.checksum_right(), "wrong checksum")


def parameter_problem(c, to, packet, offset):
    """The packet draws an ICMPv6 parameter problem, code 0, that points at an
    octet of its Mobility Header (§9.2)."""
    c.send(packet)
    v = c.expect("ICMPv6 Parameter Problem", lambda v: v if v.icmp(4) and v.dst == to else None)
    c.check(v.payload[1] == 0, "code %d, want 0" % v.payload[1])
    c.check(v.checksum_right(), "wrong checksum")
    sent = View(bytes(packet))
    pointer = struct.unpack("!I", v.payload[4:8])[0]
    want = len(sent.data) - len(sent.payload) + offset
    c.check(pointer == want, "pointer %d, want %d" % (pointer, want))
    quoted = v.payload[8:]
    c.check(quoted[40:] == sent.data[40:], "the packet is not quoted as it was sent")
    c.check((View(quoted).src, View(quoted).dst) == (sent.src, sent.dst), "the quoted addresses are not those sent")
