"""The hub beside other subgraphs, put together by the two libraries of gateways: no error, and the right graph."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from graphql import GraphQLObjectType, GraphQLSchema, build_schema

from schema import printing
from tests.entry.npm import installed

ROOT = Path(__file__).parents[2]
PARTNER = ROOT / "hub/docs/examples/federation/partner.py"
WITHIN_S = 60.0
# What a partner may write who has connections and prices of their own, and refers to courses that it knows by id alone.
SHOP = """
extend schema
  @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key", "@shareable"])
type Query { offers(first: Int!): OfferConnection! }
type OfferConnection { nodes: [Offer!]! pageInfo: PageInfo! }
type Offer { course: Course! listing: Listing! price: Money! }
type Course @key(fields: "id", resolvable: false) { id: ID! }
type Listing @key(fields: "id", resolvable: false) { id: ID! }
type PageInfo @shareable { hasNextPage: Boolean! hasPreviousPage: Boolean! startCursor: String endCursor: String }
type Money @shareable { amountMinor: BigInt! currency: CurrencyCode! scale: Int! amount: Decimal! }
scalar BigInt
scalar CurrencyCode
scalar Decimal
"""
LIBRARIES = ("apollo", "hive")

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first test waits for the packages too


@pytest.fixture(scope="module")
def peers() -> Path:
    return installed(ROOT / "tests/peers/federation")


def composed(peers: Path, folder: Path, **subgraphs: str) -> dict[str, Any]:
    """What each library says of these subgraphs and the hub's."""
    given = []
    for name, sdl in {"hub": printing.SUBGRAPH.read_text(), **subgraphs}.items():
        (folder / f"{name}.graphql").write_text(sdl)
        given.append(f"{name}={folder / name}.graphql")
    told = subprocess.run(
        ["node", "compose.mjs", *given], cwd=peers, check=True, timeout=WITHIN_S, stdout=subprocess.PIPE
    )
    answer: dict[str, Any] = json.loads(told.stdout)
    assert tuple(answer) == LIBRARIES
    return answer


def partner_sdl() -> str:
    told = subprocess.run(
        [sys.executable, PARTNER, "--sdl"], check=True, timeout=WITHIN_S, stdout=subprocess.PIPE, text=True
    )
    return told.stdout


def fields(shown: GraphQLSchema, type_: str) -> set[str]:
    found = shown.type_map[type_]
    assert isinstance(found, GraphQLObjectType)
    return set(found.fields)


def test_the_hub_composes_alone_and_with_partners(peers: Path, tmp_path: Path) -> None:
    alone = composed(peers, tmp_path)
    together = composed(peers, tmp_path, partner=partner_sdl(), shop=SHOP)
    for library in LIBRARIES:
        assert (alone[library]["errors"], together[library]["errors"]) == ([], [])
        shown = build_schema(together[library]["shown"])
        of_course = fields(build_schema(alone[library]["shown"]), "Course")
        assert fields(shown, "Course") == of_course | {"shelfMark", "readers"}  # and not internalScore
        assert fields(shown, "Entitlement") >= {"isOpen", "seat"}
        assert fields(shown, "User") >= {"orders", "borrowed"}
        assert {"recommended", "offers", "courses", "node"} <= fields(shown, "Query")
        assert "_entities" not in fields(shown, "Query")


def test_the_supergraph_shows_clients_what_the_hub_shows_them(peers: Path, tmp_path: Path) -> None:
    told = build_schema(printing.SDL.read_text())
    alone = composed(peers, tmp_path)
    for library in LIBRARIES:
        shown = build_schema(alone[library]["shown"])
        for name, type_ in told.type_map.items():
            if isinstance(type_, GraphQLObjectType) and not name.startswith("__"):
                assert fields(shown, name) == set(type_.fields), name
        assert {name for name in told.type_map if not name.startswith("__")} <= set(shown.type_map)


def test_two_hubs_are_no_two_subgraphs(peers: Path, tmp_path: Path) -> None:
    """Which is why many processes of one hub are replicas behind one subgraph's address."""
    told = composed(peers, tmp_path, second=printing.SUBGRAPH.read_text())
    for library in LIBRARIES:
        assert any("shar" in error.lower() for error in told[library]["errors"])


# What a partner may not say in the hub's name: what was paid, which right stands, and how it is asked for.
LOOK_ALIKES = {
    "paid": 'type Query { mine: Int } type Order @key(fields: "id") { id: ID! status: String! }',
    "owned": 'type Query { mine: Int } type Entitlement @key(fields: "id") { id: ID! state: String! }',
    "asked": "type Query { mine: Int } type Mutation { paymentCreate(input: String): String }",
    "listed": "type Query { verifyEntitlement(id: ID!): Boolean }",
}


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_no_payment_or_right_is_composed_from_a_partner(peers: Path, tmp_path: Path, name: str) -> None:
    link = '@link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])'
    told = composed(peers, tmp_path, partner=f"extend schema {link} {LOOK_ALIKES[name]}")
    for library in LIBRARIES:
        assert any("shar" in error.lower() for error in told[library]["errors"]), told[library]["errors"]
