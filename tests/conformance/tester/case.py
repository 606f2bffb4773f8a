"""Cases: how they are declared, run and reported.

A case is a function that takes a Case and returns if the node under test did
right, or raises Failure. Its decorator has the id of the test specification,
the section of RFC 6275 (or another RFC, in full), and a title in our words.
"""

import concurrent.futures
import itertools
import random
import traceback

from mip6 import View
from wire import Failure

REGISTRY = []  # in the order of the document


class Entry:
    def __init__(self, role, ident, section, title, run=None, reason=None, elsewhere=None, alone=False, args=()):
        self.role, self.ident, self.section, self.title = role, ident, section, title
        self.run, self.reason, self.elsewhere, self.alone, self.args = run, reason, elsewhere, alone, args

    def describe(self):
        return {"role": self.role, "id": self.ident, "section": self.section, "title": self.title}


class Group:
    """The cases of one role (or of one set-up of it)."""

    def __init__(self, role):
        self.role = role

    def case(self, ident, section, title, *args, alone=False):
        """Declares a case; args go to the function after the Case. A case that
        is alone has the node under test for itself: it runs after the others."""

        def register(run):
            REGISTRY.append(Entry(self.role, ident, section, title, run=run, alone=alone, args=args))
            return run

        return register

    def absent(self, ident, section, title, reason):
        """A case that does not apply, and why."""
        REGISTRY.append(Entry(self.role, ident, section, title, reason=reason))

    def elsewhere(self, ident, section, title, test, reason):
        """A case that a Go test covers, because the wire is no place for it."""
        REGISTRY.append(Entry(self.role, ident, section, title, reason=reason, elsewhere=test))


_numbers = itertools.count(1)


class Case:
    """One run of a case: numbers of its own, and what it may do."""

    def __init__(self, setup, entry):
        self.setup, self.wire, self.entry = setup, setup.wire, entry
        self.n = next(_numbers)
        self.start = self.wire.position()
        self.random = random.Random(self.n)

    def new_number(self):
        """Another number that no other case uses."""
        self.n = next(_numbers)
        return self.n

    def cookie(self):
        return self.random.randbytes(8)

    def send(self, packet, dst_mac=None):
        self.wire.send(packet, dst_mac)

    def mark(self):
        """What is expected from now on is looked for from here."""
        self.start = self.wire.position()

    def expect(self, what, match, patience=None):
        """Waits for a packet: match takes a View and returns what the case
        wants of it."""
        extra = {} if patience is None else {"patience": patience}
        found, _ = self.wire.find(self.start, lambda f: match(View(f.data[14:])), **extra)
        if not found:
            raise Failure("no " + what)
        return found

    def expect_frame(self, what, match):
        """As expect, but match takes the Frame; what comes next is looked for
        after it."""
        found, position = self.wire.find(self.start, match)
        if not found:
            raise Failure("no " + what)
        self.start = position
        return found

    def never(self, what, match, until):
        """Sees to it that nothing matches before until's packet comes: until
        sends something that must be answered later, and waits for that."""
        until()
        found, _ = self.wire.find(self.start, lambda f: match(View(f.data[14:])), patience=0)
        if found:
            raise Failure("there is " + what)

    def check(self, condition, complaint):
        if not condition:
            raise Failure(complaint)


def run_all(setup, entries, workers):
    """Runs the cases, those that may side by side."""

    def one(entry):
        case = Case(setup, entry)
        try:
            entry.run(case, *entry.args)
        except Failure as f:
            return entry, "FAIL", str(f)
        except Exception:  # a mistake in the case is a failure, too
            return entry, "FAIL", traceback.format_exc()
        return entry, "PASS", ""

    together = [e for e in entries if not e.alone]
    results = []
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        results.extend(pool.map(one, together))
    for e in entries:
        if e.alone:
            results.append(one(e))
    return results
