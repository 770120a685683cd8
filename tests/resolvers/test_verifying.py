"""verifyEntitlement: by member, by right, by proof; nothing for who does not list the course; a chain that is down."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from sqlalchemy import bindparam, insert, update

from hub.chain.client import JsonRpcChain
from hub.domain.anchors import Leaf, plant
from hub.domain.entitlements import ClaimedToken
from hub.domain.records import KnownContract
from hub.store.anchors import anchor_batch, leaf
from hub.store.orders import order as order_table
from tests.chain.keyring import keyring
from tests.resolvers.conftest import Api
from tests.resolvers.scenes import Market, buy, market
from tests.world import SECOND_US, START_US, learner, operator, partner

VERIFY = """
query ($input: VerifyEntitlementInput!, $course: ID!) {
  verifyEntitlement(input: $input, courseId: $course) { isEntitled reason checkedAt entitlement { id isOpen } }
  viewer { kind }
}
"""


async def verified(api: Api, viewer: Any, course: str, **how: Any) -> tuple[bool, str]:
    told = (await api.data(viewer, VERIFY, input=how, course=course))["verifyEntitlement"]
    assert told["checkedAt"].endswith("Z")
    return told["isEntitled"], told["reason"]


async def test_by_member_of_the_asking_platform(api: Api) -> None:
    scene = await market(api)
    course, seller = scene.listing.course_id, scene.viewers["seller"]
    assert await verified(api, seller, course, member={"externalId": "m-me"}) == (True, "ENTITLED")
    assert await verified(api, seller, course, member={"externalId": "m-else"}) == (False, "UNKNOWN_MEMBER")
    bought = await api.data(seller, "query($id: ID!) { order(id: $id) { buyer { id } } }", id=scene.theirs["id"])
    name = bought["order"]["buyer"]["id"]
    assert await verified(api, seller, course, member={"pairwiseId": name}) == (True, "ENTITLED")
    honouring = scene.viewers["honouring"]
    assert await verified(api, honouring, course, member={"externalId": "m-me"}) == (False, "UNKNOWN_MEMBER")
    assert await verified(api, honouring, course, member={"pairwiseId": name}) == (False, "UNKNOWN_MEMBER")
    for hub_id in (scene.me.id, "usr_" + "0" * 26, "\x00"[:0]):
        assert await verified(api, seller, course, member={"pairwiseId": hub_id}) == (False, "UNKNOWN_MEMBER")


async def test_opened_on_the_honouring_platform(api: Api) -> None:
    """Bought on alpha, opened on beta: its own member, linked to the same person."""
    scene = await market(api)
    await api.world.member(scene.honouring, scene.me, "b-me")
    await api.world.member(scene.honouring, await api.world.user(), "b-else")
    course, beta = scene.listing.course_id, scene.viewers["honouring"]
    assert await verified(api, beta, course, member={"externalId": "b-me"}) == (True, "ENTITLED")
    assert await verified(api, beta, course, member={"externalId": "b-else"}) == (False, "NO_ENTITLEMENT")


async def test_who_does_not_list_the_course_learns_nothing(api: Api) -> None:
    scene = await market(api)
    await api.world.member(scene.stranger, scene.me, "g-me")
    gamma, course = scene.viewers["stranger"], scene.listing.course_id
    for how in ({"member": {"externalId": "g-me"}}, {"entitlement": scene.mine["entitlement"]["id"]},
                {"entitlement": "ent_" + "0" * 26}):  # fmt: skip
        assert await verified(api, gamma, course, **how) == (False, "NOT_HONOURED_HERE")
        assert await verified(api, gamma, "crs_" + "0" * 26, **how) == (False, "NOT_HONOURED_HERE")
        assert await verified(api, gamma, "nonsense", **how) == (False, "NOT_HONOURED_HERE")


async def test_by_right(api: Api) -> None:
    scene = await market(api)
    right, course = scene.mine["entitlement"]["id"], scene.listing.course_id
    other_course = (await api.world.listing(platform=scene.honouring)).course_id
    for who in ("seller", "honouring", "buyer", "operator"):
        assert await verified(api, scene.viewers[who], course, entitlement=right) == (True, "ENTITLED")
    assert await verified(api, scene.viewers["other"], course, entitlement=right) == (False, "NO_ENTITLEMENT")
    assert await verified(api, operator(), other_course, entitlement=right) == (False, "OTHER_COURSE")
    for unknown in ("ent_" + "0" * 26, "nonsense"):
        assert await verified(api, operator(), course, entitlement=unknown) == (False, "NO_ENTITLEMENT")
    await api.data(
        operator(),
        'mutation($e: ID!) { entitlementRevoke(input: {entitlementId: $e, reason: "x", idempotencyKey: "k"})'
        " { replayed } }",
        e=right,
    )
    assert await verified(api, scene.viewers["honouring"], course, entitlement=right) == (False, "NOT_OPEN")


@pytest.mark.parametrize("how", [{}, {"entitlement": "a", "proof": "b"}, {"member": {}}, {"entitlement": None}])
async def test_exactly_one_way(api: Api, how: dict[str, Any]) -> None:
    result = await api.ask(operator(), VERIFY, input=how, course="crs_1")
    assert result.errors
    assert result.errors[0].path is None


# ---- proofs ------------------------------------------------------------------------------------------------------


async def anchored(api: Api) -> None:
    """Every leaf in one CONFIRMED batch, as the batcher leaves it."""

    async def put(tx: Any) -> None:
        rows = await tx.many(leaf.select().order_by(leaf.c.created_at_us, leaf.c.id), dict_of(leaf))
        tree = plant(
            [
                Leaf(row["order_key"], bytes.fromhex(row["holder"][2:]), int(row["token_id"]), row["expiry"],
                     row["commitment"])
                for row in rows
            ],
            api.hub.vault.keccak,
        )  # fmt: skip
        draw = api.world.draw()
        batch = draw.id("anb")
        await tx.run(
            insert(anchor_batch), id=batch, first_position=1, last_position=9, count=len(rows), root=tree.root,
            data_hash=b"\0" * 32, chain_id=api.chain.chain_id, contract=api.chain.contract, state="CONFIRMED",
            transaction_hash="0x" + "ab" * 32, block_number=7, gas_used=60_000, gas_price_wei=1, version=1,
            created_at_us=draw.now_us, confirmed_at_us=draw.now_us, is_settlement=0,
        )  # fmt: skip
        for index, row in enumerate(rows):
            await tx.run(_PLACE, batch=batch, place=index, leaf=row["id"])
        await tx.run(update(order_table).values(chain_status="CONFIRMED"))

    await api.hub.store.write(put)


_PLACE = (
    update(leaf).where(leaf.c.id == bindparam("leaf")).values(batch_id=bindparam("batch"), index_=bindparam("place"))
)


def dict_of(table: Any) -> Any:
    names = [column.name for column in table.c]
    return lambda *values: dict(zip(names, values, strict=True))


async def bundle_of(api: Api, scene: Market) -> str:
    shown = await api.data(
        scene.viewers["buyer"], "query($id: ID!) { order(id: $id) { proof { bundle } } }", id=scene.mine["id"]
    )
    text: str = shown["order"]["proof"]["bundle"]
    return text


async def test_proof_is_null_before_the_batch_is_confirmed_and_whole_afterwards(api: Api) -> None:
    scene = await market(api)
    document = (
        "query($id: ID!) { order(id: $id) { chainStatus anchorBatch { count state root"
        " orders(first: 5) { nodes { id } } } proof { version chainId hub root index orderKey to tokenId expiry"
        " commitment proof bundle }"
        " entitlement { chainStatus proof { root } token { tokenId holder } } } }"
    )
    before = (await api.data(scene.viewers["buyer"], document, id=scene.mine["id"]))["order"]
    assert (before["proof"], before["anchorBatch"], before["entitlement"]["token"]) == (None, None, None)
    await anchored(api)
    shown = (await api.data(scene.viewers["buyer"], document, id=scene.mine["id"]))["order"]
    proof = shown["proof"]
    assert shown["anchorBatch"]["root"] == proof["root"]
    assert shown["anchorBatch"]["orders"]["nodes"] == [{"id": scene.mine["id"]}]  # of two: the other is not theirs
    assert shown["anchorBatch"]["count"] == 2
    told = json.loads(proof.pop("bundle"))
    assert told == {**proof, "chainId": int(proof["chainId"])}
    assert "opening" not in told
    assert shown["entitlement"]["proof"] == {"root": proof["root"]}
    assert shown["entitlement"]["token"] == {"tokenId": proof["tokenId"], "holder": None}


async def test_token_of_a_settled_right_says_when_it_was_given_and_that_it_was_burned(api: Api) -> None:
    scene = await market(api)
    await anchored(api)
    document = "query($id: ID!) { order(id: $id) { entitlement { token { state claimedAt claimCall { to } } } } }"

    async def shown() -> list[Any]:
        order = (await api.data(scene.viewers["buyer"], document, id=scene.mine["id"]))["order"]
        return list(order["entitlement"]["token"].values())

    async def settle(tx: Any) -> None:
        await tx.run(update(anchor_batch).values(is_settlement=1))

    async def burn(tx: Any) -> None:
        [mine] = await tx.anchors.rights_of(scene.mine["id"])
        await tx.tokens.put(ClaimedToken(mine.id, START_US, START_US + SECOND_US))

    await api.hub.store.write(settle)
    assert (await shown())[::2] == ["CLAIMED", None]
    await api.hub.store.write(burn)
    assert await shown() == ["BURNED", "2026-01-01T00:00:00.000000Z", None]


async def test_by_proof(api: Api) -> None:
    scene = await market(api)
    await anchored(api)
    bundle, course = await bundle_of(api, scene), scene.listing.course_id
    beta = scene.viewers["honouring"]
    told = (await api.data(beta, VERIFY, input={"proof": bundle}, course=course))["verifyEntitlement"]
    assert (told["isEntitled"], told["reason"]) == (True, "ENTITLED")
    assert told["entitlement"] == {"id": scene.mine["entitlement"]["id"], "isOpen": True}
    assert len(api.chain.asked) == 1
    assert await verified(api, scene.viewers["stranger"], course, proof=bundle) == (False, "NOT_HONOURED_HERE")
    api.chain.says = False
    assert await verified(api, beta, course, proof=bundle) == (False, "NOT_ON_CHAIN")
    other_course = (await api.world.listing(platform=scene.honouring)).course_id
    assert await verified(api, beta, other_course, proof=bundle) == (False, "OTHER_COURSE")


async def test_altered_bundles_never_reach_the_chain(api: Api) -> None:
    scene = await market(api)
    await anchored(api)
    bundle, course = json.loads(await bundle_of(api, scene)), scene.listing.course_id
    beta = scene.viewers["honouring"]
    zero = "0x" + "00" * 32
    for change in ({"index": bundle["index"] ^ 1}, {"commitment": zero}, {"orderKey": zero}, {"root": zero},
                   {"expiry": "1"}, {"proof": []}, {"proof": [zero] * 33}, {"version": 2}, {"tokenId": "x"},
                   {"tokenId": None}, {"root": 1}):  # fmt: skip
        assert await verified(api, beta, course, proof=json.dumps(bundle | change)) == (False, "PROOF_INVALID")
    for text in ("", "null", "[]", "{}", "[" * 5000, "9" * 9000, "\x00"):
        assert await verified(api, beta, course, proof=text) == (False, "PROOF_INVALID")
    elsewhere = json.dumps(bundle | {"chainId": 1})
    assert await verified(api, beta, course, proof=elsewhere) == (False, "NOT_ON_CHAIN")
    assert api.chain.asked == []


async def test_a_dead_chain_nulls_its_own_field_alone(api: Api) -> None:
    scene = await market(api)
    await anchored(api)
    bundle = await bundle_of(api, scene)
    api.chain.is_up = False
    result = await api.ask(scene.viewers["honouring"], VERIFY, input={"proof": bundle}, course=scene.listing.course_id)
    assert result.data == {"verifyEntitlement": None, "viewer": {"kind": "PLATFORM"}}
    (error,) = result.errors
    assert (error.path, error.extensions["code"]) == (["verifyEntitlement"], "UNAVAILABLE")
    assert "10.0.0.7" not in error.message
    ok = await verified(api, scene.viewers["seller"], scene.listing.course_id, member={"externalId": "m-me"})
    assert ok == (True, "ENTITLED")


async def test_a_bundle_of_an_older_contract_is_asked_of_that_one(api: Api) -> None:
    scene = await market(api)
    await anchored(api)
    bundle = await bundle_of(api, scene)
    older, api.chain.contract = api.chain.contract, "0x" + "D1" * 20
    asker, course_id = scene.viewers["honouring"], scene.listing.course_id
    assert await verified(api, asker, course_id, proof=bundle) == (False, "NOT_ON_CHAIN")
    assert api.chain.asked == []

    async def record(tx: Any) -> None:
        await tx.anchors.add_contract(KnownContract(api.chain.chain_id, older, "entitlement_hub", "00", 1, 1))

    await api.hub.store.write(record)
    assert await verified(api, asker, course_id, proof=bundle) == (True, "ENTITLED")
    assert [claim.contract.lower() for claim in api.chain.asked] == [older.lower()]


@pytest.mark.parametrize("kind", ["a socket that says nothing", "no word to the hub since its start"])
async def test_a_silent_chain_nulls_its_own_field_within_its_deadline(
    api: Api, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = await market(api)
    await anchored(api)
    bundle = await bundle_of(api, scene)
    is_known = kind.startswith("a socket")
    monkeypatch.setattr("resolvers.entitlements.CHAIN_WITHIN_S", 0.2)
    async with silent_node() as url:
        keys = keyring(Account.from_key(b"d" * 32), Account.from_key(b"k" * 32))
        chain = JsonRpcChain(
            lambda: url, keys, chain_id=api.chain.chain_id if is_known else None,
            contract=api.chain.contract,
        )  # fmt: skip
        deaf = replace(api, hub=replace(api.hub, chain=chain))
        began = asyncio.get_running_loop().time()
        result = await deaf.ask(
            scene.viewers["honouring"], VERIFY, input={"proof": bundle}, course=scene.listing.course_id
        )
        took_s = asyncio.get_running_loop().time() - began
        await chain.aclose()
    assert result.data == {"verifyEntitlement": None, "viewer": {"kind": "PLATFORM"}}
    (error,) = result.errors
    assert (error.path, error.extensions["code"]) == (["verifyEntitlement"], "UNAVAILABLE")
    assert took_s < 5, "a third of what one call of the node may take"


@asynccontextmanager
async def silent_node() -> AsyncIterator[str]:
    """The URL of a node that takes connections and never answers."""
    callers: list[asyncio.StreamWriter] = []

    def take(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer)

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        for writer in callers:
            writer.transport.abort()
        server.close()
        await server.wait_closed()


async def test_a_later_purchase_elsewhere_is_proven_by_its_own_leaf(api: Api) -> None:
    scene = await market(api)
    listing = await api.world.listing(platform=scene.honouring)
    user = await api.world.user()
    await buy(api, user, listing, "k")
    await anchored(api)
    shown = await api.data(learner(user), "{ entitlements(first: 1) { nodes { proof { bundle } } } }")
    bundle = shown["entitlements"]["nodes"][0]["proof"]["bundle"]
    assert await verified(api, partner(scene.honouring), listing.course_id, proof=bundle) == (True, "ENTITLED")
    assert await verified(api, partner(scene.honouring), scene.listing.course_id, proof=bundle) == (
        False, "OTHER_COURSE"
    )  # fmt: skip
