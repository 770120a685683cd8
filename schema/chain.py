"""A small block explorer: what is read of the chain, its contracts, and what they told."""

import strawberry

from hub.domain.chain_log import Finality
from resolvers import chain
from resolvers.scalars import BigInt, Instant
from schema.anchors import AnchorBatch
from schema.connections import Connection
from schema.cost import ASKED_OF_THE_CHAIN, FREE, at_most
from schema.fields import plain, represents, resolved_by

MAX_CONTRACTS = 16  # generations of both contracts: more than any hub has had
MAX_ACCOUNTS = 16  # with a role in one of them
MAX_ROLES = 5  # of an account


@represents("ChainBlockRow")
@strawberry.type(description="A block that is kept: one that may yet be taken back, or holds events of our contracts.")
class ChainBlock:
    number: int = plain("Its height.")
    hash: str = plain("Its hash.")
    parent_hash: str = plain("The hash of the one before.")
    mined_at_us: Instant = plain("By the block's own clock.", name="minedAt")
    finality: Finality = plain("How far it may be trusted.")


@represents("ChainEventRow")
@strawberry.type(description="What a contract of the hub told, in one block.")
class ChainEvent:
    name: str = plain("Of the event, as in the ABI; its first topic where the ABI does not know it.")
    subject: str = plain("What it is about, its first indexed argument: a root, an order key, an account.")
    args: str = plain("All arguments by name, a JSON text: numbers as decimal text, bytes as 0x and digits.")
    address: str = plain("The contract.")
    block_number: int = plain("In which block.")
    block_hash: str = plain("That block's hash.")
    log_index: int = plain("Its place among all logs of the block.")
    transaction_hash: str = plain("By which transaction.")
    finality: Finality = plain("How far it may be trusted.")


@represents(chain.RoleView)
@strawberry.type(description="What an account may do with a contract.", directives=[FREE])
class ContractRole:
    account: str = plain("Its address.")
    names: list[str] = plain("The roles.", costs=at_most(MAX_ROLES))


@represents(chain.ContractView)
@strawberry.type(description="A contract of the hub; older generations stay known for ever, as their roots stay valid.")
class ChainContract:
    name: str = plain("Which contract.")
    address: str = plain("Where it lies.")
    from_block: int = plain("Its events begin there or later.")
    generation: int = plain("Counts the contracts of this name on this chain, from 1.")
    is_current: bool = plain("Whether the hub uses it for what is new.")
    is_paused: bool = plain("Whether it takes nothing new; what it holds stays verifiable.")
    owner: str | None = plain("Who sets roles.")
    proposed_owner: str | None = plain("Who may become owner by accepting.")
    successor: str | None = plain("The contract that carries on, as this one names it.")
    roles: list[ContractRole] = plain("Who may do what.", costs=at_most(MAX_ACCOUNTS))


@represents(chain.ChainView)
@strawberry.type(description="The chain as this hub has read it. Public, as the chain is.")
class Chain:
    chain_id: BigInt = plain("Which chain (EIP-155).")
    head_number: int = plain("The node's newest block when it was last read.")
    read_number: int = plain("The newest block that is read; below the head, reading lags.")
    confirmed_number: int = plain("The newest block that counts as confirmed.")
    final_number: int = plain("The newest block that is final.")
    moved_at_us: Instant = plain("When reading last moved.", name="movedAt")
    is_halted: bool = plain("Whether reading stands still: the node has another block where one was final.")
    halt_reason: str | None = plain("Why, in words.")
    contracts: list[ChainContract] = plain("Contracts, the oldest first.", costs=at_most(MAX_CONTRACTS))
    blocks: Connection[ChainBlock] = resolved_by(chain.blocks, "Blocks that are kept, the newest first.")
    events: Connection[ChainEvent] = resolved_by(chain.events, "What the contracts told, the newest first.")
    batches: Connection[AnchorBatch] = resolved_by(chain.batches, "Batches of orders, the newest first.")


@strawberry.type
class ChainQueries:
    chain: Chain | None = resolved_by(
        chain.chain, "The chain as it is read; null before anything is.", ASKED_OF_THE_CHAIN
    )
