"""The schema as text, committed beside its source: `hub schema` writes it, a test holds it to what the code says.

`schema.graphql` is for clients and their tools: what they may ask for, with GraphQL's own directives and @defer.
`subgraph.graphql` is for whoever composes the hub with other subgraphs: the same word that `_service` gives.
"""

from importlib.resources import as_file, files

from graphql import (
    REMOVE,
    DirectiveNode,
    FieldDefinitionNode,
    ScalarTypeDefinitionNode,
    SchemaDefinitionNode,
    Visitor,
    build_ast_schema,
    parse,
    print_schema,
    specified_directives,
    visit,
)
from graphql.language import DirectiveDefinitionNode, ObjectTypeDefinitionNode, UnionTypeDefinitionNode, VisitorAction

from schema import schema
from schema.incremental import DEFER

SDL = files("schema") / "schema.graphql"
SUBGRAPH = files("schema") / "subgraph.graphql"

_OWN = frozenset(directive.name for directive in specified_directives)
_OF_GATEWAYS = frozenset({"_service", "_entities", "_Service", "_Entity", "_Any"})


def printed() -> dict[str, str]:
    """What each file must hold, by its name."""
    subgraph = schema.as_str()
    return {SDL.name: f"{for_clients(subgraph)}\n", SUBGRAPH.name: f"{subgraph}\n"}


def for_clients(subgraph: str) -> str:
    """The SDL without what is said to gateways alone, and with the directive that gateways are not told of."""
    built = build_ast_schema(visit(parse(subgraph, no_location=True), _ForClients()))
    built.directives = (*built.directives, DEFER)
    return print_schema(built)


def is_current() -> bool:
    return all(
        file.is_file() and file.read_text(encoding="utf-8") == text
        for file, text in ((files("schema") / name, text) for name, text in printed().items())
    )


def write() -> None:
    for name, text in printed().items():
        with as_file(files("schema") / name) as path:
            path.write_text(text, encoding="utf-8")


class _ForClients(Visitor):
    """Leaves out the link to federation, applied and defined directives of others, and the fields of gateways."""

    def enter_schema_definition(self, node: SchemaDefinitionNode, *_: object) -> VisitorAction:
        return REMOVE  # its roots have the names that they have by default

    def enter_directive(self, node: DirectiveNode, *_: object) -> VisitorAction:
        return None if node.name.value in _OWN else REMOVE

    def enter_directive_definition(self, node: DirectiveDefinitionNode, *_: object) -> VisitorAction:
        return REMOVE

    def enter_field_definition(self, node: FieldDefinitionNode, *_: object) -> VisitorAction:
        return _unless_of_gateways(node.name.value)

    def enter_object_type_definition(self, node: ObjectTypeDefinitionNode, *_: object) -> VisitorAction:
        return _unless_of_gateways(node.name.value)

    def enter_scalar_type_definition(self, node: ScalarTypeDefinitionNode, *_: object) -> VisitorAction:
        return _unless_of_gateways(node.name.value)

    def enter_union_type_definition(self, node: UnionTypeDefinitionNode, *_: object) -> VisitorAction:
        return _unless_of_gateways(node.name.value)


def _unless_of_gateways(name: str) -> VisitorAction:
    return REMOVE if name in _OF_GATEWAYS else None
