"""Connections: every row once, forwards and backwards, while rows are inserted; sizes and cursors refused."""

from typing import Any

import pytest

from hub.domain.people import ANONYMOUS
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import buy, market
from tests.world import learner

TITLES = ["Zebra knots", "apple Knots", "Äpfel", "knot_100%", "KNOTS of 100", "中文课程", "\\ backslash", "knotty"]


async def shelf(api: Api) -> None:
    """Courses one microsecond apart, but for the last two, which the id alone parts."""
    for number, title in enumerate(TITLES):
        api.world.clock.pass_us(1 if number < len(TITLES) - 1 else 0)
        course = await api.world.course(title)
        await api.world.listing(course=course, price_minor=(0 if number == 0 else None if number == 1 else 100))


async def walked(api: Api, order_by: str, *, is_forward: bool, between: Any = None) -> list[str]:
    size, edge, cursor_field = ("first", "after", "endCursor") if is_forward else ("last", "before", "startCursor")
    more = "hasNextPage" if is_forward else "hasPreviousPage"
    titles: list[str] = []
    cursor = None
    while True:
        document = (
            f"query($c: String) {{ courses({size}: 3, {edge}: $c{order_by}) {{ nodes {{ title }}"
            f" pageInfo {{ {more} {cursor_field} }} }} }}"
        )
        page = (await api.data(ANONYMOUS, document, c=cursor))["courses"]
        rows = [node["title"] for node in page["nodes"]]
        titles = titles + rows if is_forward else rows + titles
        cursor = page["pageInfo"][cursor_field]
        if not page["pageInfo"][more]:
            return titles
        if between is not None:
            await between()


@pytest.mark.parametrize("is_forward", [True, False])
@pytest.mark.parametrize(
    ("order_by", "expected"),
    [
        (", orderBy: {field: TITLE}", sorted(TITLES, key=lambda title: title.casefold().encode())),
        (", orderBy: {field: TITLE, direction: DESC}", sorted(TITLES, key=lambda t: t.casefold().encode())[::-1]),
        (", orderBy: {field: CREATED_AT}", TITLES),
    ],
)
async def test_each_row_once_in_order(api: Api, order_by: str, expected: list[str], is_forward: bool) -> None:
    await shelf(api)
    titles = await walked(api, order_by, is_forward=is_forward)
    if "CREATED_AT" in order_by:  # the id parts the last two
        assert (titles[:-2], set(titles[-2:])) == (expected[:-2], set(expected[-2:]))
    else:
        assert titles == expected


@pytest.mark.parametrize("is_forward", [True, False])
async def test_rows_inserted_meanwhile_double_and_hide_none(api: Api, is_forward: bool) -> None:
    await shelf(api)

    async def insert() -> None:
        api.world.clock.pass_us(1)
        await api.world.course("m in the middle")

    titles = await walked(api, ", orderBy: {field: TITLE}", is_forward=is_forward, between=insert)
    assert sorted(set(titles) & set(TITLES)) == sorted(TITLES)
    assert len([title for title in titles if title in TITLES]) == len(TITLES)
    assert titles == sorted(titles, key=lambda title: title.casefold().encode())


async def test_page_info_of_both_ends(api: Api) -> None:
    await shelf(api)
    document = (
        "query($f: Int, $a: String, $l: Int, $b: String) { courses(first: $f, after: $a, last: $l, before: $b)"
        " { totalCount nodes { id } edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"
    )

    async def page(**arguments: Any) -> Any:
        return (await api.data(ANONYMOUS, document, **arguments))["courses"]

    first = await page(f=3)
    info = first["pageInfo"]
    assert (info["hasNextPage"], info["hasPreviousPage"], first["totalCount"]) == (True, False, 8)
    assert [info["startCursor"], info["endCursor"]] == [first["edges"][0]["cursor"], first["edges"][-1]["cursor"]]
    second = await page(f=100, a=info["endCursor"])
    assert (second["pageInfo"]["hasNextPage"], second["pageInfo"]["hasPreviousPage"]) == (False, True)
    assert len(second["nodes"]) == 5
    back = await page(l=100, b=second["pageInfo"]["startCursor"])
    assert back["nodes"] == first["nodes"]
    assert (back["pageInfo"]["hasNextPage"], back["pageInfo"]["hasPreviousPage"]) == (True, False)
    beyond = await page(f=3, a=second["pageInfo"]["endCursor"])
    assert (beyond["nodes"], beyond["pageInfo"]["endCursor"]) == ([], None)


@pytest.mark.parametrize(
    "arguments",
    ["", "(first: 0)", "(first: -1)", "(first: 101)", "(first: 1000000000)", "(last: 0)", "(last: 101)",
     "(first: 1, last: 1)", "(first: 1, before: \"x\")", "(last: 1, after: \"x\")", "(first: 1, after: \"x\")",
     "(first: 1, after: \"\")", "(first: null)"],
)  # fmt: skip
async def test_sizes_and_cursors_that_cannot_be(api: Api, arguments: str) -> None:
    user = await api.world.user()
    result = await api.ask(
        learner(user),
        f"{{ orders{arguments} {{ nodes {{ id }} }}"
        f" viewer {{ kind user {{ id orders{arguments} {{ nodes {{ id }} }} }} }} }}",
    )
    assert {error.extensions["code"] for error in result.errors} == {"BAD_USER_INPUT"}
    assert all("Traceback" not in error.message and "Cursor" not in error.message for error in result.errors)


async def test_a_cursor_of_another_list_order_or_viewer_is_refused(api: Api) -> None:
    scene = await market(api)
    await shelf(api)
    by_title = await api.data(ANONYMOUS, "{ courses(first: 1, orderBy: {field: TITLE}) { edges { cursor } } }")
    cursor = by_title["courses"]["edges"][0]["cursor"]
    document = "query($c: String) { courses(first: 1, after: $c) { nodes { id } } }"
    assert await api.codes(ANONYMOUS, document, c=cursor) == ["BAD_USER_INPUT"]
    mine = await api.data(scene.viewers["buyer"], "{ orders(first: 1) { edges { cursor } } }")
    cursor = mine["orders"]["edges"][0]["cursor"]
    document = "query($c: String) { orders(first: 1, after: $c) { nodes { id } } }"
    assert await api.codes(scene.viewers["buyer"], document, c=cursor) == []
    assert await api.codes(scene.viewers["other"], document, c=cursor) == ["BAD_USER_INPUT"]
    altered = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    assert await api.codes(scene.viewers["buyer"], document, c=altered) == ["BAD_USER_INPUT"]


async def test_nested_pages_go_on_from_their_own_cursors(api: Api) -> None:
    user = await api.world.user()
    orders = [await buy(api, user, await api.world.listing(), f"k{number}") for number in range(5)]
    newest_first = [order["id"] for order in orders[::-1]]
    document = (
        "query($c: String) { viewer { user { two: orders(first: 2, after: $c) { totalCount nodes { id }"
        " pageInfo { hasNextPage endCursor } } last: orders(last: 1) { nodes { id } } } } }"
    )
    seen, cursor = [], None
    for _ in range(3):
        user_data = (await api.data(learner(user), document, c=cursor))["viewer"]["user"]
        assert user_data["last"] == {"nodes": [{"id": newest_first[-1]}]}
        assert user_data["two"]["totalCount"] == 5
        seen += [node["id"] for node in user_data["two"]["nodes"]]
        cursor = user_data["two"]["pageInfo"]["endCursor"]
    assert seen == newest_first
    assert user_data["two"]["pageInfo"]["hasNextPage"] is False


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('search: "KNOT"', {"Zebra knots", "apple Knots", "knot_100%", "KNOTS of 100", "knotty"}),
        ('search: "100 knots"', {"KNOTS of 100"}),
        ('search: "_100%"', {"knot_100%"}),
        ('search: "%"', {"knot_100%"}),
        ('search: "\\\\"', {"\\ backslash"}),
        ('search: "äPFEL"', {"Äpfel"}),
        ('search: "课程"', {"中文课程"}),
        ('search: "nothing of the sort"', set()),
        ("where: {isFree: {eq: true}}", {"Zebra knots"}),
        ('where: {isFree: {eq: false}}, search: "knots"', {"apple Knots", "KNOTS of 100"}),
        ("where: {kind: {eq: EBOOK}}", set()),
        ('where: {kind: {oneOf: [EBOOK, COURSE]}, platform: {eq: "xue"}}, search: "knotty"', {"knotty"}),
        ('where: {platform: {oneOf: ["nowhere"]}}', set()),
        ('where: {language: {eq: "en"}, level: {eq: "Beginner"}, subject: {eq: "Crafts"}}', set(TITLES)),
        ('where: {language: {oneOf: []}}', set()),
    ],
)  # fmt: skip
async def test_search_and_filters(api: Api, arguments: str, expected: set[str]) -> None:
    await shelf(api)
    found = (await api.data(ANONYMOUS, f"{{ courses(first: 100, {arguments}) {{ totalCount nodes {{ title }} }} }}"))[
        "courses"
    ]
    assert {node["title"] for node in found["nodes"]} == expected
    assert found["totalCount"] == len(expected)


@pytest.mark.parametrize(
    "arguments",
    ['search: "a b c d e f"', "where: {kind: {}}", 'where: {language: {eq: "a", oneOf: ["b"]}}', 'search: "\\u0000"'],
)
async def test_filters_that_cannot_be(api: Api, arguments: str) -> None:
    assert await api.codes(ANONYMOUS, f"{{ courses(first: 1, {arguments}) {{ nodes {{ id }} }} }}") == [
        "BAD_USER_INPUT"
    ]
