"""Any object by its id."""

import strawberry

from resolvers import nodes
from schema.connections import Node
from schema.cost import at_most
from schema.fields import resolved_by


@strawberry.type
class NodeQueries:
    node: Node | None = resolved_by(nodes.node, "One object; null alike for unknown, malformed and not yours.")
    nodes: list[Node | None] = resolved_by(
        nodes.nodes, "Objects in the order of their ids, at most 100; null in place.", at_most(100)
    )
