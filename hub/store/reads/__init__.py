"""`rx.reads`: what resolvers read. Frozen rows with their relations in them, each noun under its one predicate."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hub.domain.people import Viewer
from hub.store.reads import (
    anchors,
    audit,
    catalogue,
    chain_log,
    disputes,
    entitlements,
    issuers,
    keys,
    orders,
    payments,
    people,
    plans,
    reconciliation,
    refunds,
    wallets,
    webhooks,
)
from hub.store.reads.plans import NOTHING, Row, Slice, Sorting, Want, Window, Windows

if TYPE_CHECKING:
    from hub.store.transactions import Rx

__all__ = ["NOTHING", "Reads", "Row", "Slice", "Want", "Window"]
# Importing a noun's page makes it known; named here so that none is left out.
PAGES = (
    people, catalogue, chain_log, orders, payments, refunds, disputes, entitlements, anchors, reconciliation, keys,
    issuers, audit,
    webhooks, wallets,
)  # fmt: skip


class Reads:
    """Batch functions of every noun: `user member platform merchant course listing order payment_attempt refund
    entitlement dispute grant access anchor_batch break api_key trusted_issuer audit_entry webhook_endpoint
    webhook_delivery webhook_attempt wallet`."""

    def __init__(self, rx: "Rx") -> None:
        self._rx = rx

    async def load(
        self, noun: str, keys: Sequence[str], viewer: Viewer, want: Want = NOTHING, windows: Windows | None = None
    ) -> list[Any]:
        """The rows under `keys`, in their order; None for each that is not there or not this viewer's to see.

        `want` holds dotted paths of the relations that are wanted; what is no relation is ignored. A relation that is a
        connection is named `orders@key`, its window stands in `windows` under its whole path, its rows under
        `joined["orders@key"]` as a Slice.
        """
        return await plans.load(self._rx, noun, keys, viewer, want, windows)

    async def page(
        self, noun: str, viewer: Viewer, window: Window, want: Want = NOTHING, windows: Windows | None = None, *,
        sort_by: Sequence[str] = ("created_at_us", "id"), is_descending: bool = True,
        filters: Mapping[str, Any] | None = None,
    ) -> Slice:  # fmt: skip
        """One window of the rows that the viewer may see and every filter lets through.

        `want` as selected on the connection: `nodes.…`, `edges.node.…`, `total_count`. `sort_by` ends with the id.
        """
        sorting = Sorting(tuple(sort_by), is_descending)
        return await plans.page(self._rx, noun, viewer, window, want, windows, sorting=sorting, filters=filters)
