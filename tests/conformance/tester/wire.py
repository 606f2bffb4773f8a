"""The link between the tester and the node under test (NUT).

The tester plays everybody else: the routers, mobile nodes at home and abroad,
correspondents, other home agents. It has one Ethernet interface, whose kernel
does not speak IPv6 (disable_ipv6), and reads and writes frames on it. A thread
keeps every frame that arrives; a case looks for its own among them by
addresses that no other case uses, so that cases run side by side.
"""

import socket
import struct
import threading
import time

from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    IPv6,
)
from scapy.layers.l2 import Ether

ETH_P_ALL = 3
ETH_P_IPV6 = 0x86DD
PACKET_OUTGOING = 4

# PATIENCE bounds the wait for what must come. No case asserts a time: on a
# loaded machine an answer is late, and right.
PATIENCE = 20.0


class Failure(Exception):
    """What the node under test did wrong."""


class Frame:
    """One frame that arrived: its bytes, and Scapy's view of them."""

    def __init__(self, data):
        self.data = data
        self.at = time.monotonic()
        self.eth = Ether(data)
        self.ip = self.eth.getlayer(IPv6)


class Wire:
    """The tester's side of the link."""

    def __init__(self, interface, nut_mac):
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self.sock.bind((interface, 0))
        self.mac = self.sock.getsockname()[4].hex(":")
        self.nut_mac = nut_mac
        self.frames = []
        self.came = threading.Condition()
        self.present = set()  # addresses that the tester answers neighbour solicitations for
        self.responders = []  # called with each frame, in the receiving thread
        self.send_lock = threading.Lock()
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self):
        while True:
            data, info = self.sock.recvfrom(65536)
            if info[2] == PACKET_OUTGOING or len(data) < 54:
                continue
            if struct.unpack("!H", data[12:14])[0] != ETH_P_IPV6:
                continue
            frame = Frame(data)
            self._resolve(frame)
            for respond in self.responders:
                respond(frame)
            with self.came:
                self.frames.append(frame)
                self.came.notify_all()

    def _resolve(self, frame):
        """Answers for those whom the tester plays."""
        ns = frame.ip.getlayer(ICMPv6ND_NS) if frame.ip else None
        if ns is None or ns.tgt not in self.present or frame.ip.src == "::":
            return
        self.send(
            IPv6(src=ns.tgt, dst=frame.ip.src, hlim=255)
            / ICMPv6ND_NA(tgt=ns.tgt, R=0, S=1, O=1)
            / ICMPv6NDOptDstLLAddr(lladdr=self.mac),
            dst_mac=frame.eth.src,
        )

    def send(self, packet, dst_mac=None):
        """Sends an IPv6 packet (Scapy's, or bytes) to the node under test."""
        if dst_mac is None:
            dst_mac = self.nut_mac
        frame = bytes.fromhex((dst_mac + self.mac).replace(":", "")) + struct.pack("!H", ETH_P_IPV6) + bytes(packet)
        with self.send_lock:
            self.sock.send(frame)

    def position(self):
        with self.came:
            return len(self.frames)

    def find(self, start, match, patience=PATIENCE):
        """The first frame from start on that match returns something for: that
        and the position after it; (None, position) if none comes in time."""
        deadline = time.monotonic() + patience
        i = start
        while True:
            with self.came:
                while i >= len(self.frames):
                    left = deadline - time.monotonic()
                    if left <= 0 or not self.came.wait(left):
                        if i >= len(self.frames):
                            return None, i
                batch = self.frames[i:]
            for frame in batch:
                i += 1
                if frame.ip is None:
                    continue
                found = match(frame)
                if found:
                    return found, i


def multicast_mac(group):
    """The Ethernet address of an IPv6 group (RFC 2464 §7)."""
    return "33:33:" + socket.inet_pton(socket.AF_INET6, group)[12:].hex(":")


def solicited_node(target):
    """The group that solicitations for target go to (RFC 4291 §2.7.1)."""
    tail = socket.inet_pton(socket.AF_INET6, target)[13:]
    return socket.inet_ntop(socket.AF_INET6, bytes.fromhex("ff0200000000000000000001ff") + tail)
