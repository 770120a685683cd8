"""The hub as a subgraph: which types carry keys, what is said to whom, and that each word is what is served."""

from graphql import GraphQLUnionType, build_schema, parse, print_schema
from graphql.language import ObjectTypeDefinitionNode

from resolvers.nodes import ENTITIES, NOUNS
from schema import printing, schema

CORE = schema._schema
SUBGRAPH = printing.printed()["subgraph.graphql"]
CLIENTS = printing.printed()["schema.graphql"]


def directives_of(name: str) -> set[str]:
    """Names of the types that carry a directive in the subgraph's SDL."""
    return {
        definition.name.value
        for definition in parse(SUBGRAPH).definitions
        if isinstance(definition, ObjectTypeDefinitionNode)
        and name in {directive.name.value for directive in definition.directives or ()}
    }


def test_every_entity_has_a_key_and_is_answered_by_the_batch_of_its_noun() -> None:
    union = CORE.type_map["_Entity"]
    assert isinstance(union, GraphQLUnionType)
    assert {type_.name for type_ in union.types} == directives_of("key") == ENTITIES
    assert NOUNS.keys() >= ENTITIES


def test_what_others_may_have_too_is_the_listed() -> None:
    assert directives_of("shareable") == {"Money", "PageInfo"}


def test_the_subgraph_names_the_version_that_both_composition_libraries_take() -> None:
    assert 'url: "https://specs.apollo.dev/federation/v2.9"' in SUBGRAPH


def test_service_gives_the_committed_subgraph() -> None:
    field = CORE.query_type.fields["_service"]  # type: ignore[union-attr]  # there is a query type
    assert str(field.type) == "_Service!"
    assert f"{schema.as_str()}\n" == SUBGRAPH == printing.SUBGRAPH.read_text(encoding="utf-8")


def test_clients_are_told_of_everything_but_the_gateways_part() -> None:
    told = build_schema(CLIENTS)
    assert f"{print_schema(told)}\n" == CLIENTS
    assert CORE.type_map.keys() - told.type_map.keys() == {"_Any", "_Entity", "_Service"}
    for name in ("Query", "Mutation", "Subscription"):
        shown = told.type_map[name].fields.keys()  # type: ignore[attr-defined]  # an object type has them
        whole = CORE.type_map[name].fields.keys()  # type: ignore[attr-defined]  # every type of the federated schema has fields
        assert whole - shown == ({"_service", "_entities"} if name == "Query" else set())
    for word in ("@key", "@link", "@shareable", "_entities", "specs.apollo.dev"):
        assert word not in CLIENTS
    assert "@oneOf" in CLIENTS
