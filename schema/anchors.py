"""Batches, proofs and receipts: what lies on chain and what opens it."""

from typing import TYPE_CHECKING, Annotated

import strawberry

from hub.domain.chain_log import Finality
from hub.domain.records import BatchState
from resolvers import anchors, chain, connections
from resolvers.scalars import BigInt, Hex, Instant
from schema.connections import Connection, Node
from schema.cost import FREE
from schema.fields import described, plain, represents, resolved_by

if TYPE_CHECKING:
    from schema.orders import Order

LazyOrder = Annotated["Order", strawberry.lazy("schema.orders")]

described(
    BatchState,
    "How far a batch is.",
    {
        "QUEUED": "Closed and not yet sent.",
        "SUBMITTED": "Sent and in no confirmed block yet.",
        "CONFIRMED": "In a block, deep enough to count on.",
        "FINALIZED": "In a block that the chain never takes back.",
        "REORGED": "The chain took its block back; it is sent again.",
        "FAILED": "Refused by the chain; staff look at it.",
    },
    name="AnchorBatchState",
)


@represents(chain.TransactionView)
@strawberry.type(description="The transaction that put a batch on chain.")
class AnchorTransaction:
    hash: str = plain("Its hash.")
    block_number: int | None = plain("The block that holds it.")
    status: Finality = plain("How far it may be trusted.")
    confirmations: int = plain("Blocks from its own to the newest that is known; 0 while it is in none.")
    gas_used: int | None = plain("Gas that it took.")
    fee_wei: BigInt | None = plain("What it cost: gas times price, in wei.")


@represents("AnchorBatchRow")
@strawberry.type(
    description="Orders whose records lie under one Merkle root on chain. Public, as the chain is; but no platform "
    "sees that of a right that is there by itself, since it shows the wallet."
)
class AnchorBatch(Node):
    root: Hex = plain("The Merkle root, 32 bytes; of a right that was settled by itself, its order key on chain.")
    count: int = plain("Leaves under it: 1 to 1024.")
    state: BatchState = plain("How far it is.")
    chain_id: BigInt = plain("Which chain (EIP-155).")
    contract: str = plain("Address of the contract that holds it.")
    transaction_hash: str | None = plain("The transaction that anchored it.", instead="AnchorTransaction.hash")
    block_number: int | None = plain("The block that holds it.", instead="AnchorTransaction.blockNumber")
    gas_used: int | None = plain("Gas that the transaction took.", instead="AnchorTransaction.gasUsed")
    gas_price_wei: BigInt | None = plain("Price of one unit of gas, in wei.")
    created_at_us: Instant = plain("When it was closed.", name="createdAt")
    confirmed_at_us: Instant | None = plain(
        "When it was first found to be CONFIRMED; null before, and while it is REORGED.", name="confirmedAt"
    )
    transaction: "AnchorTransaction | None" = resolved_by(
        chain.transaction, "The transaction that anchored it; null before it is signed.", FREE
    )
    fee_per_order_wei: BigInt | None = resolved_by(
        chain.fee_per_order_wei,
        "What its transaction cost, divided by `count` and rounded down, in wei; null while no block holds it. Whoever "
        "bought a right on chain has paid it.",
        FREE,
    )
    orders: Connection[LazyOrder] = resolved_by(connections.orders, "Its orders that you may see, the newest first.")


@represents(anchors.ProofView)
@strawberry.type(description="That one leaf lies under an anchored root: what the contract's `verify` takes.")
class Proof:
    version: int = plain("Of the bundle's layout: 1.")
    chain_id: BigInt = plain("Which chain (EIP-155).")
    hub: str = plain("Address of the contract.")
    root: Hex = plain("The Merkle root.")
    index: int = plain("The leaf's place in its batch, from 0.")
    order_key: Hex = plain("What stands for the order on chain.")
    to: str = plain("Who holds the token; the zero address where nobody does.")
    token_id: BigInt = plain("The course's token; 0 where nothing is granted.")
    expiry: BigInt = plain("First Unix second at which the right no longer stands; 2^56-1 for never.")
    commitment: Hex = plain("Binds request and result, and hides both.")
    siblings: list[Hex] = plain("The siblings, from the leaf upwards.", name="proof")
    bundle: str = plain("All of this as the JSON text that verifiers take, without the opening.")


@represents(anchors.OpeningView)
@strawberry.type(description="What opens a commitment. Whoever shows it holds the right: keep it to yourself.")
class Opening:
    request_hash: Hex = plain("Hash of the canonical payment request.")
    result_hash: Hex = plain("Hash of the canonical payment result.")
    salt: Hex = plain("The salt, 32 bytes.")
    request: str = plain("The canonical payment request, a JSON text.")
    result: str = plain("The canonical payment result, a JSON text.")


@represents(anchors.ReceiptView)
@strawberry.type(description="The hub's signed word at purchase, before there is a proof.")
class Receipt:
    jws: str = plain("Compact JWS (ES256) under the hub's published key.")
    order_key: Hex = plain("What stands for the order on chain.")
    commitment: Hex = plain("What the leaf will hold.")
    issued_at_us: Instant = plain("When it was issued.", name="issuedAt")
    opening: Opening = plain("What opens the commitment.")


@strawberry.type
class AnchorQueries:
    anchor_batch: AnchorBatch | None = resolved_by(anchors.anchor_batch, "One batch.")
