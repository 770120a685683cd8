"""What a caller may draw: buckets that leak, whose they are, what an answer tells of them, and what is counted."""

import asyncio
from ipaddress import ip_network
from typing import Any

import httpx
import pytest
import strawberry
from graphql import parse
from starlette.types import Scope

from hub.domain.people import ANONYMOUS
from hub.entry import throttling
from hub.entry.app import create_app
from hub.entry.callers import NOBODY, address_of
from hub.entry.limits import REFUSED_COST, Documents, Limits
from hub.entry.measuring import measure
from hub.entry.throttling import Buckets, Rate, Throttle, per_minute
from resolvers.context import request_context
from schema import schema
from schema.fields import changed_by
from tests.entry.toys import SCHEMA, ToyHub, app_of, asked, client_of, settings_of

ITEMS = "query ($n: Int!) { item { items(first: $n) { name } } }"  # costs 1 + n
COST = {"graphql-cost": "1"}


class Watch:
    """A clock that stands until it is moved."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


# ---- buckets -----------------------------------------------------------------------------------------------------


def test_a_bucket_fills_by_its_rate_and_never_over_its_maximum() -> None:
    watch = Watch()
    buckets = Buckets(Rate(100, 10), watch)
    assert buckets.draw("a", 70) is None
    assert buckets.draw("a", 70) == 4001  # 40 are lacking: four seconds, and a millisecond to be past them
    assert buckets.available("a") == 30
    watch.now_s += 4.001
    assert buckets.draw("a", 70) is None
    assert buckets.draw("b", 100) is None  # another's is another's
    watch.now_s += 3600
    assert buckets.available("a") == 100


def test_what_was_not_needed_flows_back_and_what_was_overdrawn_is_waited_for() -> None:
    watch = Watch()
    buckets = Buckets(Rate(100, 10), watch)
    buckets.draw("a", 80)
    buckets.give_back("a", 75)
    assert buckets.available("a") == 95
    assert buckets.drained("a") is None
    buckets.give_back("a", -115)
    assert buckets.drained("a") == 2101
    watch.now_s += 2.2
    assert buckets.drained("a") is None
    buckets.give_back("a", 10**9)
    assert buckets.available("a") == 100


def test_buckets_are_bounded_in_number_and_the_one_unused_for_longest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "MAX_CALLERS", 3)
    buckets = Buckets(Rate(10, 1), Watch())
    for caller in ("a", "b", "c", "a", "d"):
        buckets.draw(caller, 4)
    assert len(buckets) == 3
    assert [buckets.available(caller) for caller in ("a", "c", "d")] == [2, 6, 6]
    assert buckets.available("b") == 10


# ---- who calls ---------------------------------------------------------------------------------------------------

OURS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", None, "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # a stranger writes what he likes
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # what stands before it, the caller wrote
        ("10.0.0.1", "198.51.100.1, 10.2.2.2", "198.51.100.1"),  # two proxies of ours
        ("10.0.0.1", "198.51.100.1, nonsense", "10.0.0.1"),
        ("10.0.0.1", "10.9.9.9", "10.9.9.9"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("fd00::1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", None, "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", None, "203.0.113.7"),
        ("unix", None, NOBODY),
        (None, None, NOBODY),
    ],
)
def test_the_address_is_the_peer_s_or_what_our_own_proxy_says(
    peer: str | None, forwarded: str | None, address: str
) -> None:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded.encode())]
    scope: Scope = {"client": None if peer is None else (peer, 1), "headers": headers}
    assert address_of(scope, OURS) == address


def test_thousands_of_forwarded_addresses_are_not_all_read() -> None:
    hops = ",".join(["10.0.0.1"] * 100_000)
    scope: Scope = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", hops.encode())]}
    assert address_of(scope, OURS) == "10.0.0.1"


# ---- around an operation -----------------------------------------------------------------------------------------


async def many(client: httpx.AsyncClient, document: str, times: int, **headers: str) -> list[Any]:
    return [(await asked(client, document, {"n": 100}, **headers)).json() for _ in range(times)]


def codes(answer: Any) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


async def test_cost_is_told_to_who_asks_by_header_or_extension() -> None:
    told = {
        "requestedQueryCost": 4,
        "actualQueryCost": 4,
        "throttleStatus": {"maximumAvailable": 50_000, "currentlyAvailable": 49_996, "restoreRate": 2_500},
    }
    async with client_of(app_of(ToyHub())) as client:
        silent = await asked(client, ITEMS, {"n": 3})
        by_header = await asked(client, ITEMS, {"n": 3}, **COST)
        body = {"query": ITEMS, "variables": {"n": 3}, "extensions": {"cost": True}}
        by_extension = await client.post("/graphql", json=body)
        unasked = await client.post("/graphql", json=body | {"extensions": {"cost": "yes"}})
    assert "extensions" not in silent.json()
    assert "extensions" not in unasked.json()
    for answer in (by_header, by_extension):
        cost = answer.json()["extensions"]["cost"]
        assert cost["throttleStatus"]["currentlyAvailable"] >= 49_990  # some flows back meanwhile
        cost["throttleStatus"]["currentlyAvailable"] = 49_996
        assert cost == told


async def test_the_actual_cost_is_what_came_and_the_rest_is_given_back() -> None:
    documents = Documents(schema._schema, throttle=Throttle(Buckets(Rate(50_000, 1e-9))))
    throttle = documents.throttle
    document = parse("{ courses(first: 100) { nodes { id listings { id } } } }")
    requested = measure(document, documents.prices).cost(None, None)
    assert requested == 1 + 100 * 101
    throttle.draw("a", requested, 0)
    throttle.give_back("a", requested - 3)
    assert throttle.told("a", requested, 3)["throttleStatus"]["currentlyAvailable"] == 49_997


async def test_who_has_drawn_too_much_is_told_when_to_come_again_and_others_are_served() -> None:
    toys = ToyHub()
    async with client_of(app_of(toys, cost_maximum="12000", cost_restore="1")) as client:
        answers = await many(client, ITEMS, 118)
        assert all("data" in answer for answer in answers)  # 101 each, of 12,000
        refused = (await asked(client, ITEMS, {"n": 100})).json()
        small = (await asked(client, ITEMS, {"n": 1})).json()
        mine = await asked(client, ITEMS, {"n": 100}, authorization=f"Bearer {toys.token()}")
    assert codes(refused) == ["THROTTLED"]
    assert 0 < refused["errors"][0]["extensions"]["retryAfterMs"] < 101_000
    assert refused["extensions"]["cost"]["requestedQueryCost"] == 101
    assert refused["extensions"]["cost"]["actualQueryCost"] is None
    assert "data" not in refused
    assert "data" in small  # what is there may still be drawn
    assert "data" in mine.json()


async def test_who_has_nothing_left_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_of(ToyHub(), cost_maximum="12000", cost_restore="1")
    async with client_of(app) as client:
        for number in range(121):
            await asked(client, f"{{ nope{number} }}")
        before = app.state.metrics.value("hub_graphql_refusals_total", reason="rate")
        monkeypatch.setattr("strawberry.schema.schema.parse", None)
        answer = await asked(client, "{ viewer }")
        named = await client.post("/graphql", json={"query": "query A { viewer }", "operationName": "A"})
    assert (codes(answer.json()), answer.status_code) == (["THROTTLED"], 200)
    assert codes(named.json()) == ["THROTTLED"]
    cost = named.json()["extensions"]["cost"]
    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (None, None)
    assert cost["throttleStatus"]["currentlyAvailable"] == 0
    assert app.state.metrics.value("hub_graphql_refusals_total", reason="rate") == before + 2


async def test_a_document_that_is_refused_costs_as_well() -> None:
    documents = [("{ nope }", None), ("{ item", None), (ITEMS.replace("$n)", "101)"), {"n": 1})]
    async with client_of(app_of(ToyHub())) as client:
        for document, variables in documents:
            await asked(client, document, variables)
        cost = (await asked(client, "{ item { name } }", **COST)).json()["extensions"]["cost"]
    left = 50_000 - len(documents) * REFUSED_COST - 1
    assert left <= cost["throttleStatus"]["currentlyAvailable"] <= left + 250


# ---- attempts ----------------------------------------------------------------------------------------------------


@strawberry.type
class Nothing:
    done: bool


def pay(times: int) -> Nothing:
    return Nothing(done=True)


def look(times: int) -> Nothing:
    return Nothing(done=True)


@strawberry.type
class Payments:
    pay: Nothing = changed_by(pay, "Pays.", is_attempt=True)
    look: Nothing = changed_by(look, "Looks.")


PAYING = strawberry.Schema(strawberry.type(type("Query", (), {"__annotations__": {"a": int}, "a": 1})), Payments)


async def test_each_alias_of_a_payment_is_an_attempt_and_attempts_have_a_rate_of_their_own() -> None:
    one = "pay(input: {times: 1}) { done }"
    app = create_app(ToyHub().hub, settings_of(attempts_per_minute="5"), schema=PAYING)
    async with client_of(app) as client:
        fragment = f"fragment P on Payments {{ c: {one} d: {one} }}"
        four = await asked(client, f"mutation {{ a: {one} b: {one} ...P }} {fragment}")
        two = await asked(client, f"mutation {{ a: {one} b: {one} }}")
        looked = await asked(client, "mutation { look(input: {times: 1}) { done } }")
        last = await asked(client, f"mutation {{ {one} }}")
        none = await asked(client, f"mutation {{ {one} }}")
    assert list(four.json()["data"]) == ["a", "b", "c", "d"]
    assert codes(two.json()) == codes(none.json()) == ["THROTTLED"]
    assert 0 < two.json()["errors"][0]["extensions"]["retryAfterMs"] <= 12_001
    assert "data" in looked.json()
    assert "data" in last.json()
    assert app.state.metrics.value("hub_graphql_refusals_total", reason="attempts") == 2


def test_payments_and_sign_ins_are_attempts() -> None:
    prices = Documents(schema._schema).prices.types["Mutation"].fields
    attempts = {name for name, price in prices.items() if price.is_attempt}
    assert attempts >= {"checkout", "paymentCreate", "identityLink"}
    assert "listingUpsert" not in attempts
    assert {price.weight for price in prices.values()} == {10}


# ---- time --------------------------------------------------------------------------------------------------------


async def test_a_query_that_takes_too_long_is_cut_and_its_connection_lives() -> None:
    toys, throttle = ToyHub(), Throttle()
    documents = Documents(SCHEMA._schema, throttle=throttle, execution_s=0.02)
    limited = strawberry.Schema(
        SCHEMA.query, SCHEMA.mutation, SCHEMA.subscription, extensions=[lambda: Limits(documents)]
    )  # fmt: skip
    result = await limited.execute("{ slow }", context_value=request_context(toys.hub, ANONYMOUS, "r"))
    assert result.errors is not None
    assert str(result.errors[0].original_error).startswith("the query took longer than 0.02 seconds")
    assert throttle.metrics.value("hub_graphql_refusals_total", reason="time") == 1


async def test_a_slow_operation_is_counted_and_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(ToyHub(), slow_operation_ms="0")
    async with client_of(app) as client:
        await client.post("/graphql", json={"query": 'query Mine { echo(text: "secret") }', "operationName": "Mine"})
    assert app.state.metrics.value("hub_graphql_slow_operations_total") == 1
    (line,) = [record for record in caplog.records if record.message == "slow operation"]
    assert (line.operation, len(line.document)) == ("Mine", 64)  # type: ignore[attr-defined]  # what `extra` put there
    assert "secret" not in str(line.__dict__)


async def test_each_refusal_is_counted_by_its_reason() -> None:
    app = app_of(ToyHub())
    deep = "{ item " + "{ items(first: 1) " * 12 + "{ name }" + " }" * 12 + " }"
    wide = f"{{ {' '.join(f'a{i}: viewer' for i in range(51))} }}"
    dear = "{ item { items(first: 100) { items(first: 100) { items(first: 100) { name } } } } }"
    cases = {
        deep: "depth", f"{{ item {{ {' '.join(f'a{i}: name' for i in range(51))} }} }}": "width", dear: "cost",
        "{ item { items(first: 101) { name } } }": "page", "{ nope": "document", wide: "width",
        f"{{ {'a ' * 2001} }}": "tokens", "{ item { ...A } } fragment A on Item { ...A }": "fragments",
    }  # fmt: skip
    async with client_of(app) as client:
        for document in cases:
            await asked(client, document)
    expected = {reason: list(cases.values()).count(reason) for reason in cases.values()}
    counted = {
        reason: app.state.metrics.value("hub_graphql_refusals_total", reason=reason) for reason in expected
    }  # fmt: skip
    assert counted == expected


async def test_callers_draw_at_once_without_drawing_more_than_there_is() -> None:
    async with client_of(app_of(ToyHub(), cost_maximum="12000", cost_restore="1")) as client:
        answers = await asyncio.gather(*(asked(client, ITEMS, {"n": 100}) for _ in range(130)))
    served = sum("data" in answer.json() for answer in answers)
    assert 118 <= served <= 120


def test_as_many_a_minute_as_at_once() -> None:
    assert per_minute(60) == Rate(60, 1.0)
