"""All cases, in the order of the document, and the set-up of each role."""

from cn_setup import Correspondent
from ha_setup import HomeAgent
from mn_setup import Replica

import ha_cases
import cn_cases
import mn_cases

SETUPS = {
    "home-agent": lambda wire: HomeAgent(wire, virtual=False),
    "home-agent, virtual home link": lambda wire: HomeAgent(wire, virtual=True),
    "correspondent": Correspondent,
    "replica, registration": lambda wire: Replica(wire, answers=False),
    "replica": lambda wire: Replica(wire, answers=True),
}

_ = (ha_cases, cn_cases, mn_cases)
