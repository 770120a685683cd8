"""An operator puts a newer contract beside the one that their hub has sold with: by the command, on a whole hub."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from hub.chain import keys
from hub.domain.records import KeyRole
from hub.entry.demo_client import Client
from hub.entry.failpoints import EXIT_CODE
from tests.entry.hubs import CHECKOUT, REVOKE, VERIFY, House, done, order_of, put_on_sale, reached, refused, until
from tests.entry.plays.stage import DEAD
from tests.entry.test_stablecoin_sale import Node

HUB = "entitlement_hub"
NAMES = ("ended", "unsent", "after")


def as_before() -> None:
    """In the child: the release before this one, as far as its contract goes."""
    from contracts import abi
    from tests.entry.test_generations import former

    present, [*_, before] = abi.compiled, former()
    abi.__dict__["compiled"] = lambda name: before if name == HUB else present(name)


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_a_newer_contract_succeeds_one_that_has_sold_and_rights_of_before_stand_and_end_there(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        house = House(tmp_path / "data")
        stack.push_async_callback(house.aclose)
        await stack.enter_async_context(house.node_kept())
        hub = await house.serve(spoil=as_before)
        as_learner, as_operator = await house.token("learner"), await house.token("operator")
        async with Client(hub.origin, await house.token("partner", platform="lumen")) as seller:
            sold = {name: await put_on_sale(seller, name) for name in NAMES}

        async def bought(name: str) -> str:
            async with Client(hub.origin, as_learner) as learner:
                return str((await learner.mutate(CHECKOUT, sold[name].bought(name)))["order"]["id"])

        async def final(name: str) -> dict[str, Any]:
            async with Client(hub.origin, as_learner) as learner:
                return await reached(learner, await bought(name), within_s=60, chainStatus="FINALIZED")

        async def is_entitled(name: str) -> bool:
            """By the bundle that the buyer has kept."""
            async with Client(hub.origin, as_operator) as operator:
                asked = {"input": {"proof": bundles[name]}, "course": sold[name].course_id}
                return bool((await operator.query(VERIFY, asked))["verifyEntitlement"]["isEntitled"])

        bundles = {"ended": (await final("ended"))["proof"]["bundle"]}
        await hub.kill()
        hub = await house.serve(failpoint="keep_signed: after commit", is_waited_for=False, spoil=as_before)
        try:
            await hub.wait_until_serving()
            await final("unsent")
        except (*DEAD, AssertionError):
            pass
        assert await hub.ended() == EXIT_CODE, hub.said[-2000:]
        [(old,)] = await house.rows("SELECT address FROM contract")

        [*_, told] = await done(house, "contracts", "deploy")
        [new] = [address for [address] in await house.rows("SELECT address FROM contract") if address != old]
        assert f" at {new}, from block " in told
        assert "the contract in use" in await refused(house, "contracts", "set-successor", new)
        assert (await done(house, "contracts", "deploy", "--succeeds"))[-1] == told
        chain, held = Node(house.data), keys.load(house.data).held
        named = [await chain.view(contract, HUB, "successor") for contract in (old, new)]
        assert named == [new.lower(), "0x" + "00" * 20]
        roles = {
            role: [await chain.view(contract, HUB, "roles", held[role].address) for contract in (old, new)]
            for role in (KeyRole.GATEWAY, KeyRole.REVOKER)
        }
        assert roles == {KeyRole.GATEWAY: [0, 1], KeyRole.REVOKER: [4, 4]}
        shown = await done(house, "contracts", "status")
        assert [line.split()[1] for line in shown if line.startswith("contract ")] == [old, new]

        hub = await house.serve()
        for name in ("unsent", "after"):
            bundles[name] = (await final(name))["proof"]["bundle"]
        assert [await house.rows("SELECT kind, detail FROM break_"), hub.said.count("Traceback")] == [[], 0]
        assert [old in bundles["ended"], new in bundles["unsent"], new in bundles["after"]] == [True] * 3
        assert [await is_entitled(name) for name in NAMES] == [True] * 3
        async with Client(hub.origin, as_operator) as operator:
            order = await order_of(operator, await bought("ended"))
            end = {"entitlementId": order["entitlement"]["id"], "reason": "a mistake", "idempotencyKey": "end"}
            await operator.mutate(REVOKE, end)

        async def is_at_rest() -> bool:
            return await house.rows("SELECT kind FROM task WHERE kind IN ('anchor_batch', 'revoke_leaf')") == []

        await until(is_at_rest, within_s=60, what="revoked")
        [(word,)] = await house.rows("SELECT address FROM chain_event WHERE name = 'Revoked'")
        assert word == old
        assert [await is_entitled(name) for name in NAMES] == [False, True, True]
        await house.verified()
