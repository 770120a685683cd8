"""B 区块链 from the outside: batches, inclusion proofs with their bundle, and the buyer's receipt."""

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain import anchors
from hub.domain.anchors import Leaf, Proof, Tree
from hub.domain.entitlements import Opening, Receipt
from hub.domain.records import BatchState
from hub.ports import Vault
from resolvers.context import Info
from resolvers.reading import one

if TYPE_CHECKING:
    from hub.store.reads import Row
    from hub.store.reads.anchors import LeafRow, OpeningRow
    from hub.store.reads.orders import OrderRow

BUNDLE_VERSION = 1
# Trees kept: a tree of 1,024 leaves has 2,047 hashes of 32 bytes and takes milliseconds to plant.
MAX_TREES = 32


async def anchor_batch(
    info: Info,
    id: Annotated[strawberry.ID, strawberry.argument(description="The batch's id.")],
) -> "Row | None":
    """One batch."""
    return await one(info, "AnchorBatch", "anchor_batch", id)


# ---- proofs ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProofView:
    """A proof with the chain it is about; bytes as bytes, `to` and `hub` as addresses."""

    version: int
    chain_id: int
    hub: str
    root: bytes
    index: int
    order_key: bytes
    to: str
    token_id: int
    expiry: int
    commitment: bytes
    siblings: list[bytes]

    @property
    def bundle(self) -> str:
        """The JSON text that verifiers take. Numbers that may pass 2^53 are decimal text in it."""
        content = {
            "version": self.version,
            "chainId": self.chain_id,
            "hub": self.hub,
            "root": _hex(self.root),
            "index": self.index,
            "orderKey": _hex(self.order_key),
            "to": self.to,
            "tokenId": str(self.token_id),
            "expiry": str(self.expiry),
            "commitment": _hex(self.commitment),
            "proof": [_hex(sibling) for sibling in self.siblings],
        }
        return json.dumps(content, separators=(",", ":"))


def proof(info: Info, root: "strawberry.Parent[OrderRow]") -> ProofView | None:
    """From the leaves of the batch, which look-ahead has read; null before the batch is CONFIRMED, and for an order
    that was settled by itself."""
    leaf: LeafRow | None = root.joined["proof"]
    batch = None if leaf is None else leaf.joined["batch"]
    if leaf is None or batch is None or not BatchState(batch.state).is_proven or leaf.index_ is None:
        return None
    if batch.is_settlement:
        return None  # it is on chain by itself: `settled` and `hasAccess` of the contract tell it
    tree = _planted(batch.root, leaf.joined["siblings"], info.context.hub.vault.keccak)
    path = tree.proof(leaf.index_)
    return ProofView(
        BUNDLE_VERSION,
        batch.chain_id,
        batch.contract,
        path.root,
        path.index,
        path.order_key,
        leaf.holder,
        path.token_id,
        path.expiry,
        path.commitment,
        list(path.proof),
    )


_trees: "OrderedDict[bytes, Tree]" = OrderedDict()


def _planted(root: bytes, leaves: "list[LeafRow]", keccak: Callable[[bytes], bytes]) -> Tree:
    """The batch's tree, kept by its root: what is under a root never changes."""
    tree = _trees.get(root)
    if tree is None:
        tree = anchors.plant([_leaf(row) for row in leaves], keccak)
        if tree.root != root:
            raise AssertionError("the leaves of a batch do not give its root")
        _trees[root] = tree
        if len(_trees) > MAX_TREES:
            _trees.popitem(last=False)
    return tree


def _leaf(row: "LeafRow") -> Leaf:
    return Leaf(row.order_key, address_bytes(row.holder), int(row.token_id), row.expiry, row.commitment)


def address_bytes(address: str) -> bytes:
    return bytes.fromhex(address.removeprefix("0x"))


def _hex(data: bytes) -> str:
    return f"0x{data.hex()}"


class BundleRefused(ValueError):
    """A text that is no proof bundle; says why."""


MAX_BUNDLE = 8_192  # characters: 32 siblings and the rest have about 3,000


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle claims."""

    chain_id: int
    hub: str
    proof: Proof


def read_bundle(text: str) -> Bundle:
    """The claim in a bundle. Raises BundleRefused for anything that is none; proves nothing yet."""
    if len(text) > MAX_BUNDLE:
        raise BundleRefused("too long")
    try:
        told = json.loads(text)
        if told["version"] != BUNDLE_VERSION:
            raise BundleRefused("of another version")
        claim = Proof(
            root=_bytes(told["root"]),
            index=_number(told["index"]),
            order_key=_bytes(told["orderKey"]),
            to=_bytes(told["to"]),
            token_id=_number(told["tokenId"]),
            expiry=_number(told["expiry"]),
            commitment=_bytes(told["commitment"]),
            proof=tuple(_bytes(sibling) for sibling in told["proof"]),
        )
        return Bundle(_number(told["chainId"]), str(told["hub"]), claim)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BundleRefused(f"not a proof bundle: {type(error).__name__}") from error


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or not value.startswith("0x"):
        raise ValueError("bytes are 0x and hexadecimal digits")
    return bytes.fromhex(value[2:])


def _number(value: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 78:
        return int(value)
    raise ValueError("a number is an integer or decimal text")


# ---- receipts -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpeningView:
    request_hash: bytes
    result_hash: bytes
    salt: bytes
    request: str
    result: str


@dataclass(frozen=True, slots=True)
class ReceiptView:
    jws: str
    order_key: bytes
    commitment: bytes
    issued_at_us: int
    opening: OpeningView


def receipt(info: Info, root: "strawberry.Parent[OrderRow]") -> ReceiptView | None:
    """The buyer's alone: for everybody else look-ahead found no row. The same receipt is signed the same each time."""
    row: OpeningRow | None = root.joined["receipt"]
    salt = None if row is None else _salt(row, info.context.hub.vault)
    if row is None or salt is None:
        return None
    hub = info.context.hub
    keccak = hub.vault.keccak
    opening = OpeningView(
        keccak(row.request.encode()), keccak(row.result.encode()), salt, row.request, row.result
    )  # fmt: skip
    signed = hub.receipts.sign(
        Receipt(
            order_key=row.order_key,
            to=row.holder,
            token_id=int(row.token_id),
            expiry=row.expiry,
            commitment=row.commitment,
            issued_at_us=row.created_at_us,
            opening=Opening(opening.request_hash, opening.result_hash, opening.salt),
        )
    )
    return ReceiptView(signed, row.order_key, row.commitment, row.created_at_us, opening)


def _salt(row: "OpeningRow", vault: Vault) -> bytes | None:
    """None once its person was erased."""
    if row.sealed_salt:
        return vault.open(row.sealed_salt, row.id)
    if row.wrapped_key is None or row.sealed is None or row.owner_id is None:
        return None
    return vault.open_for(row.wrapped_key, row.owner_id, row.sealed, row.id)
