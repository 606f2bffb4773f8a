"""Runs the cases of one role against a node under test.

    main.py list
    main.py run ROLE INTERFACE NUT_MAC [WORKERS]

Both write JSON to standard output: the cases, or their results. While it runs
it may write lines {"do": …} that the Go side obeys and answers with a line.
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import catalogue  # noqa: E402
from case import REGISTRY, run_all  # noqa: E402
from wire import Wire  # noqa: E402


def listing():
    out = []
    for e in REGISTRY:
        d = e.describe()
        if e.reason:
            d["reason"] = e.reason
        if e.elsewhere:
            d["elsewhere"] = e.elsewhere
        out.append(d)
    return out


def main():
    if sys.argv[1] == "list":
        print(json.dumps(listing()))
        return
    role, interface, mac = sys.argv[2:5]
    workers = int(sys.argv[5]) if len(sys.argv) > 5 else 12
    setup = catalogue.SETUPS[role](Wire(interface, mac))
    if hasattr(setup, "ready"):
        setup.ready()
    only = os.environ.get("CASES", "").split()
    entries = [e for e in REGISTRY if e.role == role and e.run and (not only or e.ident in only)]
    for e, result, detail in run_all(setup, entries, workers):
        print(json.dumps({"id": e.ident, "result": result, "detail": detail}), flush=True)
    # The receiving thread is a daemon: nothing else to end.


main()
