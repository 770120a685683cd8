"""A CheckoutSplitter with its hub, a coin and a buyer on the small EVM."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from eth_abi import encode
from eth_account import Account as Wallet
from eth_utils import keccak

from contracts import abi
from hub.domain.contracts import CHECKOUT_SPLITTER, ENTITLEMENT_HUB, TEST_USD, SplitterRole
from tests.contracts.evm import CHAIN_ID, GATE, NOW, OWNER, STRANGER, TOKEN, Account, Evm, Receipt, fresh_account
from tests.contracts.evm import Hub as EntitlementHub

SELLER, REFUNDER, PAUSER = SplitterRole
PRICE = 12_340_000  # 12.34 of the coin
DEADLINE = NOW + 1_800
NO_BOUND = 2**256 - 1
REFERENCE = keccak(b"reference of an attempt")
ANOTHER = keccak(b"another attempt")
PAYEES = tuple(keccak(name)[:20] for name in (b"publisher", b"operator"))
SHARES = ((PAYEES[0], 9_000), (PAYEES[1], 1_000))

Json = dict[str, Any]
Terms = tuple[object, ...]  # token, price, token id, term, split's id
TERMS = "(address,uint128,uint256,uint64,bytes32)"
PARTS = "(address,uint16)[]"
Signature = tuple[int, bytes, bytes]  # v, r, s


class Contract:
    """Any deployed contract: functions by name, arguments in the ABI's order, addresses as bytes."""

    def __init__(self, evm: Evm, address: bytes, name: str) -> None:
        self.evm, self.address, self.name = evm, address, name

    def on(self, evm: Evm) -> "Contract":
        return Contract(evm, self.address, self.name)

    def send(self, sender: Account, function: str, *arguments: object) -> Receipt:
        return self.evm.send(sender, self.address, self.calldata(function, *arguments))

    def ask(self, function: str, *arguments: object) -> Any:
        """What a view answers, alone or as a tuple; whatever it did to the state is forgotten."""
        return abi.answer(self.name, function, self.evm.call(self.address, self.calldata(function, *arguments)))

    def calldata(self, function: str, *arguments: object) -> bytes:
        return abi.call(self.name, function, *arguments)

    def logs(self, receipt: Receipt, name: str) -> list[tuple[Any, ...]]:
        """What this contract said under an event's name: its arguments in the ABI's order."""
        event = abi.event(self.name, name)
        return [abi.logged(event, topics, data) for topics, data in receipt.logs if topics[0] == event.topic]


@dataclass(frozen=True)
class Shop:
    """A splitter that sells one right at PRICE for two payees. A copy is free."""

    evm: Evm
    hub: Contract
    splitter: Contract
    coin: Contract
    buyer: Account
    terms: Terms

    def copy(self) -> "Shop":
        evm = self.evm.copy()
        return replace(self, evm=evm, hub=self.hub.on(evm), splitter=self.splitter.on(evm), coin=self.coin.on(evm))

    def order(self, reference: bytes = REFERENCE, **changes: object) -> tuple[object, ...]:
        """reference, to, deadline."""
        plain = {"reference": reference, "to": self.buyer.address, "deadline": DEADLINE}
        return tuple((plain | changes).values())

    def key(self, reference: bytes = REFERENCE, *, payer: bytes | None = None, **changes: object) -> bytes:
        order = self.order(reference, **changes)
        return cast(bytes, self.splitter.ask("keyOf", offer_id(self.terms), order, payer or self.buyer.address))

    def approve(self, amount: int = PRICE, owner: Account | None = None) -> None:
        self.coin.send(owner or self.buyer, "approve", self.splitter.address, amount)

    def buy(self, reference: bytes = REFERENCE) -> Receipt:
        self.approve(cast(int, self.terms[1]))
        return self.splitter.send(self.buyer, "buy", self.order(reference), self.terms)

    def permit(self, **changes: object) -> Signature:
        """The signature that `buyWithPermit` takes."""
        message = {
            "owner": self.buyer.address,
            "spender": self.splitter.address,
            "value": self.terms[1],
            "nonce": self.coin.ask("nonces", self.buyer.address),
            "deadline": DEADLINE,
        }
        return signed(self.buyer, self.coin, PERMIT, message | changes)

    def authorization(self, kind: str = "ReceiveWithAuthorization", **changes: object) -> Signature:
        """The signature that `buyWithAuthorization` takes."""
        message = {
            "from": self.buyer.address,
            "to": self.splitter.address,
            "value": self.terms[1],
            "validAfter": 0,
            "validBefore": DEADLINE + 1,
            "nonce": self.key(),
        }
        return signed(self.buyer, self.coin, {kind: AUTHORIZATION}, message | changes)

    def sells(
        self, *, price: int = PRICE, parts: Sequence[tuple[bytes, int]] = SHARES, token_id: int = TOKEN
    ) -> "Shop":
        """The same shop with another offer."""
        terms = terms_of(self.coin, price=price, parts=parts, token_id=token_id)
        self.splitter.send(GATE, "setSplit", split_id(parts), parts)
        self.splitter.send(GATE, "setOffer", offer_id(terms), terms)
        return replace(self, terms=terms)

    def visited(self, number: int, coins: int = 100 * PRICE) -> "Shop":
        """The same shop with another buyer."""
        account = fresh_account(self.evm, number)
        self.coin.send(OWNER, "mint", account.address, coins)
        return replace(self, buyer=account)

    def ways(self) -> dict[str, tuple[object, ...]]:
        """Function → its arguments after order and terms, ready to be sent by the buyer."""
        self.approve(cast(int, self.terms[1]))
        return {
            "buy": (),
            "buyWithPermit": self.permit(),
            "buyWithAuthorization": (self.buyer.address, *self.authorization()),
        }

    def divide(self) -> Receipt:
        return self.splitter.send(STRANGER, "divide", self.coin.address, SHARES)

    def refund(self, reference: bytes = REFERENCE, by: Account = GATE) -> Receipt:
        return self.splitter.send(by, "refund", self.order(reference), self.terms, self.buyer.address, SHARES)

    def due(self, payee: bytes) -> int:
        return cast(int, self.splitter.ask("due", self.coin.address, payee))

    def holds(self, account: bytes) -> int:
        return cast(int, self.coin.ask("balanceOf", account))

    def is_bought(self, reference: bytes = REFERENCE) -> bool:
        at, is_by_minter, _ = self.hub.ask("settled", self.key(reference))
        return at != 0 and cast(bool, is_by_minter)

    def has_right(self, holder: bytes | None = None) -> bool:
        return cast(bool, self.hub.ask("hasAccess", holder or self.buyer.address, TOKEN))


_UINT, _ADDRESS = "uint256", "address"
PERMIT = {
    "Permit": [("owner", _ADDRESS), ("spender", _ADDRESS), ("value", _UINT), ("nonce", _UINT), ("deadline", _UINT)]
}
AUTHORIZATION = [
    ("from", _ADDRESS), ("to", _ADDRESS), ("value", _UINT), ("validAfter", _UINT), ("validBefore", _UINT),
    ("nonce", "bytes32"),
]  # fmt: skip


def signed(signer: Account, coin: Contract, types: Json, message: Json) -> Signature:
    """v, r and s over a coin's typed data, as a wallet makes them."""
    domain = {"name": "Test USD", "version": "1", "chainId": CHAIN_ID, "verifyingContract": "0x" + coin.address.hex()}
    fields = {name: [{"name": n, "type": t} for n, t in members] for name, members in types.items()}
    plain = {name: hexed(value) for name, value in message.items()}
    made = Wallet.sign_typed_data(signer.key.to_bytes(), domain, fields, plain)
    return made.v, made.r.to_bytes(32, "big"), made.s.to_bytes(32, "big")


def fresh_shop(hub: EntitlementHub, coin: Contract | None = None) -> Shop:
    """A shop beside a hub that is there; `coin` instead of TestUSD."""
    evm = hub.evm
    rights = Contract(evm, hub.address, ENTITLEMENT_HUB)
    splitter = deployed(evm, CHECKOUT_SPLITTER, OWNER.address, hub.address, GATE.address)
    coin = coin or deployed(evm, TEST_USD)
    rights.send(OWNER, "setRole", splitter.address, rights.ask("MINTER"))
    splitter.send(OWNER, "setToken", coin.address, True)
    buyer = fresh_account(evm, 7)
    coin.send(OWNER, "mint", buyer.address, 100 * PRICE)
    return Shop(evm, rights, splitter, coin, buyer, terms_of(coin)).sells()


def terms_of(
    coin: Contract,
    *,
    price: int = PRICE,
    token_id: int = TOKEN,
    term: int = 0,
    parts: Sequence[tuple[bytes, int]] = SHARES,
) -> Terms:
    return (coin.address, price, token_id, term, split_id(parts))


def split_id(parts: Sequence[tuple[bytes, int]]) -> bytes:
    return keccak(encode([PARTS], [parts]))


def offer_id(terms: Terms) -> bytes:
    return keccak(encode([TERMS], [terms]))


def deployed(evm: Evm, name: str, *addresses: bytes) -> Contract:
    return Contract(evm, evm.send(OWNER, b"", abi.creation(name, *addresses)).contract, name)


def hexed(value: object) -> object:
    """An address (20 bytes) as text, as answers and signed messages have it; all else as it is."""
    return "0x" + value.hex() if isinstance(value, bytes) and len(value) == 20 else value
