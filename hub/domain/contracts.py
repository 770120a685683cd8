"""The contracts by the names under which they are compiled and recorded, the bits of their roles, and no address."""

from collections.abc import Mapping
from enum import IntEnum

from hub.domain.anchors import NO_HOLDER

ENTITLEMENT_HUB = "entitlement_hub"
CHECKOUT_SPLITTER = "checkout_splitter"
TEST_USD = "test_usd"

NOBODY = "0x" + NO_HOLDER.hex()


class HubRole(IntEnum):
    """What an account may do at EntitlementHub."""

    GATEWAY = 1
    PAUSER = 2
    REVOKER = 4
    SIGNER = 8
    MINTER = 16


class SplitterRole(IntEnum):
    """What an account may do at CheckoutSplitter."""

    SELLER = 1
    REFUNDER = 2
    PAUSER = 4


ROLES: Mapping[str, type[IntEnum]] = {ENTITLEMENT_HUB: HubRole, CHECKOUT_SPLITTER: SplitterRole}


def role_names(contract: str, bits: int) -> list[str]:
    """The names of the roles in a word, the lowest bit first; a bit without a name by its number."""
    named = {role.value: role.name for role in ROLES.get(contract, ())}
    places = [place for place in range(bits.bit_length()) if bits >> place & 1]
    return [named.get(1 << place, f"BIT_{place}") for place in places]
