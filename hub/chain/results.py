"""What a SIGNER signs: that an order has ended in a right, as EIP-712 data, so that any wallet or signing service can
show what it is asked for. Anyone may hand such a signature to the contract's `settle`, once.
"""

from dataclasses import dataclass
from typing import Final

from contracts import abi
from contracts.typed_data import Domain
from hub.domain.contracts import ENTITLEMENT_HUB

NAME: Final = "EntitlementHub"  # of the contract's EIP-712 domain, with VERSION
VERSION: Final = "1"
MAX_DEADLINE_S: Final = 86_400  # after signing: the contract takes none further ahead

RESULT_FIELDS: Final = (
    ("orderKey", "bytes32"),
    ("commitment", "bytes32"),
    ("to", "address"),
    ("tokenId", "uint256"),
    ("expiry", "uint64"),
    ("deadline", "uint64"),
)


@dataclass(frozen=True, slots=True)
class PaymentResult:
    """The arguments of the contract's struct, in its order. `to` is an address with 0x, `expiry` and `deadline` Unix
    seconds; the contract settles until `deadline`, which is at most MAX_DEADLINE_S ahead."""

    order_key: bytes
    commitment: bytes
    to: str
    token_id: int
    expiry: int
    deadline: int


def typed_data(result: PaymentResult, chain_id: int, contract: str) -> dict[str, object]:
    """The JSON of eth_signTypedData_v4, for a signer of another process."""
    message = {
        "orderKey": "0x" + result.order_key.hex(),
        "commitment": "0x" + result.commitment.hex(),
        "to": result.to,
        "tokenId": str(result.token_id),
        "expiry": str(result.expiry),
        "deadline": str(result.deadline),
    }
    return Domain(NAME, VERSION, chain_id, contract).typed("PaymentResult", RESULT_FIELDS, message)


def settle(result: PaymentResult, signature: bytes) -> bytes:
    """The call that settles the order, for anybody to send. The contract refuses it with a reason: settled, signer,
    signature, deadline, expiry, to, tokenId, orderKey or paused."""
    return abi.call(
        ENTITLEMENT_HUB,
        "settle",
        (result.order_key, result.commitment, result.to, result.token_id, result.expiry, result.deadline),
        signature,
    )
