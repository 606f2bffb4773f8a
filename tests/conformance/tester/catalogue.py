"""All cases, in the order of the document, and the set-up of each role."""

from cn_setup import Correspondent
from ha_setup import HomeAgent
from mn_setup import Replica

import ha_cases
import ha_link_cases
import ha_discovery_cases
import ha_ipsec_cases
import cn_test_cases
import cn_packet_cases
import cn_update_cases
import cn_change_cases
import cn_error_cases
import mn_registration_cases
import mn_cases

SETUPS = {
    "home-agent": lambda wire: HomeAgent(wire, virtual=False),
    "home-agent, virtual home link": lambda wire: HomeAgent(wire, virtual=True),
    "home-agent, IPsec required": lambda wire: HomeAgent(wire, virtual=False),
    "correspondent": Correspondent,
    "replica, registration": lambda wire: Replica(wire, answers=False),
    "replica": lambda wire: Replica(wire, answers=True),
}

_ = (
    ha_cases, ha_link_cases, ha_discovery_cases, ha_ipsec_cases,
    cn_test_cases, cn_packet_cases, cn_update_cases, cn_change_cases, cn_error_cases,
    mn_registration_cases, mn_cases,
)
