"""The chain from the outside, as a small block explorer shows it: what is read, how far, what contracts told."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.chain_log import STANDING, ContractStanding, Cursor, Finality, standings
from hub.domain.contracts import role_names
from hub.domain.records import BatchState, KnownContract
from resolvers.context import Info
from resolvers.paging import After, Before, First, Last, Listed, Page
from resolvers.reading import listed_page, reading

if TYPE_CHECKING:
    from hub.store.reads.anchors import AnchorBatchRow


@dataclass(frozen=True, slots=True)
class RoleView:
    account: str
    names: list[str]


@dataclass(frozen=True, slots=True)
class ContractView:
    """A contract with what its own events say of it."""

    name: str
    address: str
    from_block: int
    generation: int
    is_current: bool
    is_paused: bool
    owner: str | None
    proposed_owner: str | None
    successor: str | None
    roles: list[RoleView]


@dataclass(frozen=True, slots=True)
class ChainView:
    """A cursor, and the contracts of its chain."""

    chain_id: int
    head_number: int
    read_number: int
    confirmed_number: int
    final_number: int
    moved_at_us: int
    is_halted: bool
    halt_reason: str | None
    contracts: list[ContractView]


async def chain(info: Info) -> ChainView | None:
    """The chain that was read last; null before any was."""
    async with reading(info) as rx:
        cursors = await rx.chain_log.cursors()
        if not cursors:
            return None
        cursor = max(cursors, key=lambda one: one.moved_at_us)
        known = await rx.anchors.contracts(cursor.chain_id)
        standing = standings(await rx.chain_log.told(cursor.chain_id, STANDING))
    return _shown(cursor, known, standing)


def _shown(cursor: Cursor, known: list[KnownContract], standing: dict[str, ContractStanding]) -> ChainView:
    return ChainView(
        chain_id=cursor.chain_id,
        head_number=cursor.head_number,
        read_number=cursor.number,
        confirmed_number=cursor.confirmed_number,
        final_number=cursor.final_number,
        moved_at_us=cursor.moved_at_us,
        is_halted=cursor.halt_reason is not None,
        halt_reason=cursor.halt_reason,
        contracts=[_contract(one, known, standing.get(one.address, ContractStanding())) for one in known],
    )


def _contract(one: KnownContract, known: list[KnownContract], standing: ContractStanding) -> ContractView:
    generations = [other.address for other in known if other.name == one.name]
    return ContractView(
        name=one.name,
        address=one.address,
        from_block=one.from_block,
        generation=generations.index(one.address) + 1,
        is_current=generations[-1] == one.address,
        is_paused=standing.is_paused,
        owner=standing.owner,
        proposed_owner=standing.proposed_owner,
        successor=standing.successor,
        roles=[RoleView(who, role_names(one.name, bits)) for who, bits in sorted(standing.roles.items()) if bits],
    )


# ---- lists -----------------------------------------------------------------------------------------------------------

_BLOCKS = Listed("chain.blocks", ("number",))
_EVENTS = Listed("chain.events", ("block_number", "log_index", "id"))
_BATCHES = Listed("chain.batches")

Address = Annotated[
    str | None, strawberry.argument(description="Of this contract alone: its checksummed address, 42 characters.")
]
Name = Annotated[
    str | None, strawberry.argument(description="Under this name alone, such as `Anchored`; at most 66 characters.")
]
Subject = Annotated[
    str | None,
    strawberry.argument(description="About this alone: a root or an order key as 0x and 64 digits, or an account."),
]


async def blocks(
    info: Info,
    root: strawberry.Parent[ChainView],
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Page:
    """Blocks that are kept, the newest first."""
    filters = {"of_chain": root.chain_id}
    return await listed_page(info, "chain_block", _BLOCKS, first, after, last, before, filters)


async def events(
    info: Info,
    root: strawberry.Parent[ChainView],
    address: Address = None,
    name: Name = None,
    subject: Subject = None,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Page:
    """Events of the hub's contracts, the newest first."""
    asked = {"address": address, "name": name, "subject": subject}
    filters = {"of_chain": root.chain_id} | {key: value for key, value in asked.items() if value is not None}
    return await listed_page(info, "chain_event", _EVENTS, first, after, last, before, filters)


async def batches(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Page:
    """Batches, the newest first."""
    return await listed_page(info, "anchor_batch", _BATCHES, first, after, last, before)


# ---- the transaction of a batch --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TransactionView:
    hash: str
    block_number: int | None
    status: Finality
    confirmations: int
    gas_used: int | None
    fee_wei: int | None


def transaction(root: "strawberry.Parent[AnchorBatchRow]") -> TransactionView | None:
    """From the batch's own row; null before it is signed."""
    if root.transaction_hash is None:
        return None
    number, head = root.block_number, root.head_number
    return TransactionView(
        hash=root.transaction_hash,
        block_number=number,
        status=_STATUS.get(BatchState(root.state), Finality.PENDING if number is None else Finality.SEEN),
        confirmations=0 if number is None or head is None else max(head - number + 1, 1),
        gas_used=root.gas_used,
        fee_wei=_fee_wei(root),
    )


def fee_per_order_wei(root: "strawberry.Parent[AnchorBatchRow]") -> int | None:
    """Null while no block holds it."""
    fee_wei = _fee_wei(root)
    return None if fee_wei is None else fee_wei // root.count


def _fee_wei(root: "AnchorBatchRow") -> int | None:
    return None if root.gas_used is None or root.gas_price_wei is None else root.gas_used * root.gas_price_wei


_STATUS = {BatchState.CONFIRMED: Finality.CONFIRMED, BatchState.FINALIZED: Finality.FINAL}
