"""`_entities`: one more door to the same rows, with the same rules as `node`, and never a word of the asker's taken."""

from typing import Any

from hub.domain.people import ANONYMOUS, Viewer, ViewerKind
from resolvers.loaders import MAX_ENTITIES
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import Market, market
from tests.world import operator

ENTITIES = """
query ($of: [_Any!]!) {
  _entities(representations: $of) {
    __typename
    ... on User { id } ... on Platform { id slug } ... on Course { id title } ... on Listing { id }
    ... on Order { id number } ... on Entitlement { id state }
  }
}
"""
# The objects of the scene that each viewer gets by `_entities`, beside the public ones.
SEES: dict[str, set[str]] = {
    "buyer": {"mine", "my right", "me"},
    "other": {"theirs", "their right", "other"},
    "seller": {"mine", "theirs", "my right", "their right"},
    "honouring": {"my right", "their right"},
    "stranger": set(),
    "operator": {"mine", "theirs", "my right", "their right", "me", "other"},
    "anonymous": set(),
}
PUBLIC = {"seller", "listing", "course"}


def objects(scene: Market) -> dict[str, dict[str, Any]]:
    """A representation of each object, by its name in this scene."""
    return {
        "seller": named("Platform", scene.seller.id),
        "listing": named("Listing", scene.listing.id),
        "course": named("Course", scene.listing.course_id),
        "mine": named("Order", scene.mine["id"]),
        "theirs": named("Order", scene.theirs["id"]),
        "my right": named("Entitlement", scene.mine["entitlement"]["id"]),
        "their right": named("Entitlement", scene.theirs["entitlement"]["id"]),
        "me": named("User", scene.me.id),
        "other": named("User", scene.other.id),
    }


def named(type_: str, id_: str) -> dict[str, Any]:
    return {"__typename": type_, "id": id_}


async def ask(api: Api, viewer: Viewer, of: list[Any]) -> list[Any]:
    found: list[Any] = (await api.data(viewer, ENTITIES, of=of))["_entities"]
    return found


async def test_each_viewer_gets_their_own_objects_and_null_in_place_of_others(api: Api) -> None:
    """And the same as by `nodes`."""
    scene = await market(api)
    of = objects(scene)
    ids = [representation["id"] for representation in of.values()]
    for who, viewer in scene.viewers.items():
        found = dict(zip(of, await ask(api, viewer, list(of.values())), strict=True))
        assert {name for name, value in found.items() if value is not None} == SEES[who] | PUBLIC, who
        shown = [value and named(value["__typename"], value["id"]) for value in found.values()]
        assert [value for value in shown if value] == [of[name] for name in of if found[name]], who
        nodes = await api.data(viewer, "query($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", ids=ids)
        assert nodes["nodes"] == shown, who


async def test_a_platform_names_users_by_its_pairwise_ids_alone(api: Api) -> None:
    scene = await market(api)
    seller, honouring = scene.viewers["seller"], scene.viewers["honouring"]
    document = "query($id: ID!) { order(id: $id) { buyer { id } } }"
    name = (await api.data(seller, document, id=scene.mine["id"]))["order"]["buyer"]["id"]
    assert await ask(api, seller, [named("User", name)]) == [named("User", name)]
    assert await ask(api, honouring, [named("User", name)]) == [None]


async def test_many_representations_of_a_type_are_one_statement(api: Api) -> None:
    scene = await market(api)
    courses = [(await api.world.course(f"Course {number}")).id for number in range(150)]
    before = len(api.statements)
    found = await ask(api, ANONYMOUS, [named("Course", id_) for id_ in courses])
    assert [value["id"] for value in found] == courses
    assert len(api.statements) - before == 1
    before = len(api.statements)
    await ask(api, operator(), [*(named("Course", id_) for id_ in courses), *objects(scene).values()] * 2)
    assert len(api.statements) - before == 6


async def test_relations_below_entities_are_looked_up_together(api: Api) -> None:
    scene = await market(api)
    document = """
    query ($of: [_Any!]!) { _entities(representations: $of) {
      ... on Order { id course { title } buyer { id orders(first: 1) { nodes { id } } } } } }
    """
    counts = []
    for of in ([scene.mine], [scene.mine, scene.theirs]):
        before = len(api.statements)
        found = await api.data(operator(), document, of=[named("Order", order["id"]) for order in of])
        assert [order["course"]["title"] for order in found["_entities"]] == ["Knots"] * len(of)
        counts.append(len(api.statements) - before)
    assert counts == [2, 2]


async def test_nothing_that_a_representation_says_of_an_object_is_believed(api: Api) -> None:
    scene = await market(api)
    lies = {"title": "Free", "price": {"amountMinor": "0"}, "state": "REVOKED", "number": "TB0", "info": 1, "self": 2}
    of = objects(scene)
    plain = await ask(api, operator(), list(of.values()))
    assert await ask(api, operator(), [representation | lies for representation in of.values()]) == plain


UNKNOWN = "crs_" + "0" * 26
NAMES_NOTHING = [
    {}, [], UNKNOWN, 1, 1.5, True, {"id": UNKNOWN}, {"__typename": "Course"}, named("Course", UNKNOWN),
    {"__typename": "Course", "id": None}, {"__typename": "Course", "id": 7}, {"__typename": "Course", "id": {}},
    named("Course", ""), named("Course", "\x00"), named("Course", "x" * 10_000), named("Nothing", UNKNOWN),
    named("__Schema", "x"), {"__typename": None, "id": UNKNOWN}, {"__typename": ["Course"], "id": UNKNOWN},
]  # fmt: skip


async def test_what_names_nothing_is_null_like_what_is_forbidden(api: Api) -> None:
    course = await api.world.course()
    found = await ask(api, operator(), [*NAMES_NOTHING, named("Course", course.id)])
    assert found[:-1] == [None] * len(NAMES_NOTHING)
    assert found[-1] == {"__typename": "Course", "id": course.id, "title": course.title}
    for wrong in NAMES_NOTHING:
        assert await ask(api, operator(), [wrong]) == [None], wrong


async def test_an_id_under_another_type_is_null(api: Api) -> None:
    scene = await market(api)
    of = objects(scene)
    swapped = [named(name, of["mine"]["id"]) for name in ("Course", "User", "Entitlement", "Merchant", "_Any", "order")]
    assert await ask(api, operator(), swapped) == [None] * 6


async def test_what_has_an_id_and_no_key_is_no_entity(api: Api) -> None:
    scene = await market(api)
    document = "query($id: ID!) { listing(id: $id) { merchant { id } } }"
    merchant = (await api.data(operator(), document, id=scene.listing.id))["listing"]["merchant"]["id"]
    assert await ask(api, operator(), [named("Merchant", merchant)]) == [None]


async def test_a_key_without_a_scope_gets_null_for_its_types(api: Api) -> None:
    scene = await market(api)
    poor = Viewer(ViewerKind.PLATFORM, platform_id=scene.seller.id, scopes=frozenset({"entitlements:read"}))
    of = objects(scene)
    found = await ask(api, poor, [of["mine"], of["my right"]])
    assert found == [None, {"__typename": "Entitlement", "id": of["my right"]["id"], "state": "ACTIVE"}]


async def test_more_than_a_thousand_are_refused_before_anything_is_read(api: Api) -> None:
    before = len(api.statements)
    of = [named("Course", "crs_" + "0" * 26)] * (MAX_ENTITIES + 1)
    assert await api.codes(operator(), ENTITIES, of=of) == ["BAD_USER_INPUT"]
    assert len(api.statements) == before


async def test_whoever_is_no_gateway_gets_neither_field(api: Api) -> None:
    api.gateway_fields = frozenset()
    course = await api.world.course()
    for viewer in (operator(), ANONYMOUS):
        assert await api.codes(viewer, ENTITIES, of=[named("Course", course.id)]) == ["FORBIDDEN"]
        assert await api.codes(viewer, "{ _service { sdl } }") == ["FORBIDDEN"]
