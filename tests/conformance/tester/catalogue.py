"""All cases, in the order of the document, and the set-up of each role."""

from ha_setup import HomeAgent

import ha_cases

SETUPS = {
    "home-agent": lambda wire: HomeAgent(wire, virtual=False),
    "home-agent, virtual home link": lambda wire: HomeAgent(wire, virtual=True),
}

_ = ha_cases
