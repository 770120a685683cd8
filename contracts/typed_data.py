"""EIP-712: what a wallet shows and signs, as the JSON of eth_signTypedData_v4; the same for our contracts and coins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from eth_abi.abi import encode
from eth_utils.crypto import keccak

Members: TypeAlias = Sequence[tuple[str, str]]  # names and types, in order

_DOMAIN: Final[Members] = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)
_DOMAIN_TYPE: Final = keccak(text=f"EIP712Domain({','.join(f'{kind} {name}' for name, kind in _DOMAIN)})")


@dataclass(frozen=True, slots=True)
class Domain:
    """For which contract a signature is; `contract` is an address with 0x."""

    name: str
    version: str
    chain_id: int
    contract: str

    def typed(self, struct: str, members: Members, message: Mapping[str, str]) -> dict[str, object]:
        """A struct to sign here. Numbers are decimal text, since JavaScript's do not hold all of them; bytes are hex
        with 0x."""
        return {
            "types": {"EIP712Domain": _fields(_DOMAIN), struct: _fields(members)},
            "primaryType": struct,
            "domain": {
                "name": self.name,
                "version": self.version,
                "chainId": str(self.chain_id),
                "verifyingContract": self.contract,
            },
            "message": dict(message),
        }

    @property
    def separator(self) -> bytes:
        """What the contract answers to DOMAIN_SEPARATOR if it signs as EIP-712 has it."""
        words = (_DOMAIN_TYPE, keccak(text=self.name), keccak(text=self.version), self.chain_id, self.contract)
        return keccak(encode(("bytes32", "bytes32", "bytes32", "uint256", "address"), words))


def _fields(members: Members) -> list[dict[str, str]]:
    return [{"name": name, "type": kind} for name, kind in members]
