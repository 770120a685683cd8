"""Who signs: a key of a file, or one that another program holds and that is asked over JSON-RPC.

What another program answers is checked before anything is done with it: the bytes are what was asked for, and under
them is the signature of the account that was asked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from hub.chain.rpc import Json, NodeSaidNo, Question, Rpc
from hub.ports import ChainUnavailable, SignedTransaction, SigningRefused

SIGNATURE_BYTES: Final = 65  # r, s, v
LEAST_V: Final = 27  # as contracts want it; some signers count from 0
CREATION: Final = b""  # stands for `to` in the bytes of a transaction that creates a contract
# A signer's no that no waiting changes: refused by a person or a policy, no such method, parameters, key. All its other
# errors may pass: what it asks itself, a KMS or a database, is away at times.
DENIAL_CODES: Final = frozenset({4001, 4100, -32601, -32602})  # the first two are EIP-1193's
DENIAL_WORDS: Final = (
    "denied", "policy", "not allowed", "forbidden", "unauthorized", "unlocked account", "unknown account",
)  # fmt: skip

Fields = Mapping[str, Any]  # of a transaction of type 2, as eth_account names them; without `to` it creates a contract


class Key(Protocol):
    """One account that can sign. Both methods may raise ChainUnavailable (later, perhaps) and SigningRefused."""

    @property
    def address(self) -> str:
        """Its account's, checksummed."""

    async def transaction(self, fields: Fields) -> SignedTransaction:
        """The transaction with its signature. Nothing is sent."""

    async def typed_data(self, data: dict[str, Any]) -> bytes:
        """65 bytes under EIP-712 data, given as for eth_signTypedData_v4: r, s, v 27 or 28."""


@dataclass(frozen=True, slots=True)
class FileKey:
    """A key that this process holds. Its repr does not show it."""

    account: LocalAccount = field(repr=False)

    @property
    def address(self) -> str:
        return str(self.account.address)

    async def transaction(self, fields: Fields) -> SignedTransaction:
        signed = self.account.sign_transaction(dict(fields))
        return SignedTransaction(
            hash=_hex(signed.hash), raw=_hex(signed.raw_transaction), nonce=fields["nonce"], sender=self.address
        )

    async def typed_data(self, data: dict[str, Any]) -> bytes:
        return bytes(self.account.sign_message(encode_typed_data(full_message=data)).signature)


@dataclass(frozen=True, slots=True)
class RemoteKey:
    """A key of a signing service, such as Web3Signer, clef or a proxy before a KMS: `eth_signTransaction` and
    `eth_signTypedData`."""

    service: Rpc = field(repr=False)
    address: str

    async def transaction(self, fields: Fields) -> SignedTransaction:
        asked = {name: _quantity(value) for name, value in fields.items() if name != "type"} | {"from": self.address}
        answer = await self._ask("eth_signTransaction", asked)
        raw = _bytes(answer.get("raw") if isinstance(answer, dict) else answer)  # geth and clef give an object
        try:
            told = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
            signer = Account.recover_transaction(raw)
        except Exception:  # whatever these libraries raise for bytes that are no transaction
            raise SigningRefused("the signer answered with something else than a signed transaction") from None
        if signer != self.address:
            raise SigningRefused(f"the signer was asked to sign as {self.address} and signed as {signer}")
        wanted = {"to": CREATION, **fields}
        if any(_plain(told.get(name)) != _plain(value) for name, value in wanted.items()) or told["accessList"]:
            raise SigningRefused("the signer signed another transaction than it was asked to")
        return SignedTransaction(hash=_hex(keccak(raw)), raw=_hex(raw), nonce=fields["nonce"], sender=self.address)

    async def typed_data(self, data: dict[str, Any]) -> bytes:
        signature = _bytes(await self._ask("eth_signTypedData", self.address, data))
        if len(signature) != SIGNATURE_BYTES:
            raise SigningRefused("the signer answered with something else than a signature")
        if signature[-1] < LEAST_V:
            signature = signature[:-1] + bytes([signature[-1] + LEAST_V])
        try:
            signer = Account.recover_message(encode_typed_data(full_message=data), signature=signature)
        except Exception:  # whatever these libraries raise for a signature that is none
            raise SigningRefused("the signer answered with something else than a signature") from None
        if signer != self.address:
            raise SigningRefused(f"the signer was asked to sign as {self.address} and signed as {signer}")
        return signature

    async def _ask(self, method: str, *params: object) -> Json:
        """Raises ChainUnavailable while it is silent or in trouble, and SigningRefused when it says no: a person must
        look."""
        try:
            return await self.service.ask(Question(method, params))
        except ChainUnavailable as away:
            said = str(away).replace("the node", "it")
            raise ChainUnavailable(f"the signer of {self.address} is away: {said}") from away
        except NodeSaidNo as no:
            if no.code not in DENIAL_CODES and not any(word in str(no).lower() for word in DENIAL_WORDS):
                raise ChainUnavailable(f"the signer of {self.address} cannot now: {no}") from no
            raise SigningRefused(f"the signer refuses {method} for {self.address}: {no}") from no


def remote_key(service: Rpc, address: str) -> RemoteKey:
    """The key of this account at a signing service."""
    return RemoteKey(service, to_checksum_address(address))


def _quantity(value: object) -> object:
    if isinstance(value, int):
        return hex(value)
    return _hex(value) if isinstance(value, bytes) else value


def _plain(value: object) -> object:
    """The same value in one form, whichever library told it."""
    if isinstance(value, str):
        return bytes.fromhex(value.removeprefix("0x"))
    return bytes(value) if isinstance(value, bytes) else value


def _bytes(answer: Json) -> bytes:
    try:
        return bytes.fromhex(str(answer).removeprefix("0x"))
    except ValueError:
        raise SigningRefused("the signer answered with something else than bytes") from None


def _hex(octets: bytes) -> str:
    return "0x" + bytes(octets).hex()
