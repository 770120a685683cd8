"""`node`, `nodes` and `_entities`: all of one document are one batch for each type; so is what orders can refund."""

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from strawberry.dataloader import DataLoader

from hub.domain.people import Viewer
from hub.flows.refund_plans import Asked, abilities, refundable
from hub.ports import Hub
from resolvers.errors import gatekept
from resolvers.paging import Window

if TYPE_CHECKING:
    from hub.store.reads import Row

MAX_NODES = 100  # ids of one `nodes`: a page
MAX_ENTITIES = 1000  # representations of one `_entities`: a gateway collects those of a page within a page


@dataclass(frozen=True, slots=True)
class NodeKey:
    """Which object, and what is wanted of it."""

    noun: str
    id: str
    want: frozenset[str]
    windows: tuple[tuple[str, Window], ...]


NodeLoader = DataLoader[NodeKey, "Row | None"]
RefundableLoader = DataLoader[Asked, int]


def refundable_loader(hub: Hub) -> RefundableLoader:
    """How much of each order can be given back: of orders that the viewer was shown."""

    async def load(asked: list[Asked]) -> list[int]:
        with gatekept():
            async with hub.store.reading() as rx:
                return await refundable(rx, asked, abilities(hub))

    return DataLoader(load_fn=load, max_batch_size=MAX_ENTITIES)


def node_loader(hub: Hub, viewer: Viewer) -> NodeLoader:
    """A loader for one operation of this viewer."""

    async def load(keys: list[NodeKey]) -> "list[Row | None]":
        alike: dict[tuple[str, frozenset[str], tuple[tuple[str, Window], ...]], list[str]] = defaultdict(list)
        for key in keys:
            alike[key.noun, key.want, key.windows].append(key.id)
        found: dict[NodeKey, Row | None] = {}
        with gatekept():
            async with hub.store.reading() as rx:
                for (noun, want, windows), ids in alike.items():
                    rows = await rx.reads.load(noun, ids, viewer, want, dict(windows))
                    found |= {NodeKey(noun, id_, want, windows): row for id_, row in zip(ids, rows, strict=True)}
        return [found[key] for key in keys]

    return DataLoader(load_fn=load, max_batch_size=MAX_ENTITIES)
