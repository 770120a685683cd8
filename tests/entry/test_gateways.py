"""Another key follows the gateway's while what that has signed is under way: nothing waits for it, nothing is lost."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from eth_account import Account

from hub.chain import keys
from hub.domain.records import KeyRole
from hub.entry.demo_client import Client
from hub.entry.failpoints import EXIT_CODE
from tests.chain.keyring import account_of
from tests.entry.go_between import GoBetween, go_between
from tests.entry.hubs import CHECKOUT, REVOKE, House, done, put_on_sale, reached, until
from tests.entry.plays.stage import DEAD
from tests.entry.test_stablecoin_sale import ETHER, Node

GATEWAY, REVOKER = 1, 4
NAMES = ("ended", "sent", "unsent", "after")
IN_THE_END = "SELECT number, chain_status FROM order_ WHERE chain_status <> 'FINALIZED'"


@pytest.mark.chaos
@pytest.mark.timeout(300)
async def test_another_gateway_follows_while_batches_and_revocations_are_under_way(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        house = House(tmp_path / "data")
        stack.push_async_callback(house.aclose)
        await stack.enter_async_context(house.node_kept())
        between = await stack.enter_async_context(go_between(house.data))
        house.environ["HUB_CHAIN_URL"] = between.url
        hub = await house.serve()
        as_learner, as_operator = await house.token("learner"), await house.token("operator")
        as_seller = await house.token("partner", platform="lumen")
        async with Client(hub.origin, as_seller) as seller:
            sold = {name: await put_on_sale(seller, name) for name in NAMES}

        async def bought(name: str, chain_status: str) -> str:
            async with Client(hub.origin, as_learner) as learner:
                order = (await learner.mutate(CHECKOUT, sold[name].bought(name)))["order"]
                order = await reached(learner, order["id"], within_s=60, chainStatus=chain_status)
            return str(order["entitlement"]["id"])

        # Sent and in no block: a batch of the gateway's, and the revocation of a right.
        right = await bought("ended", "FINALIZED")
        held = keys.load(house.data).held
        old, revoker = held[KeyRole.GATEWAY].address, held[KeyRole.REVOKER].address
        between.holds |= {old, revoker}
        await bought("sent", "SUBMITTED")
        async with Client(hub.origin, as_operator) as operator:
            await operator.mutate(REVOKE, {"entitlementId": right, "reason": "a mistake", "idempotencyKey": "end"})
        await until(has_sent(between, old, 1), what="the batch sent")
        await until(has_sent(between, revoker, 1), what="the revocation sent")
        fresh = Account.create()
        rotate = ("contracts", "rotate-gateway", old, fresh.address)
        assert "may anchor too" in (await done(house, *rotate))[-1]

        # Signed and not sent: another batch of the gateway's.
        await hub.kill()
        hub = await house.serve(failpoint="keep_signed: after commit", is_waited_for=False)
        try:
            await hub.wait_until_serving()
            await bought("unsent", "never")
        except (*DEAD, AssertionError):
            pass
        assert await hub.ended() == EXIT_CODE, hub.said[-2000:]
        signed = await house.rows(f"SELECT nonce FROM chain_transaction WHERE sender = '{old}' ORDER BY nonce")
        assert signed == [(0,), (1,), (2,)]
        assert between.waiting_of(old) == 1

        # The other key takes over, and waits for neither.
        folder, chain = house.data / "keys", Node(house.data)
        await chain.send(account_of(held[KeyRole.DEPLOYER]), fresh.address, "0x", ETHER)
        (folder / "gateway.key").rename(folder / "former.key")
        (folder / "gateway.key").write_text(fresh.key.hex())
        (folder / "gateway.key").chmod(0o600)
        hub = await house.serve()
        await bought("after", "FINALIZED")
        await until(has_sent(between, old, 2), within_s=60, what="the other batch sent by the former key")
        code, said = await house.command(*rotate, spoil=impatient)
        assert (code, "2 transactions of" in said) == (2, True), said
        [contract] = [address for [address] in await house.rows("SELECT address FROM contract")]
        assert await chain.view(contract, "entitlement_hub", "roles", old) == GATEWAY, "it keeps its role"

        await between.let_go()
        assert "anchors alone" in (await done(house, *rotate))[-1]
        assert await chain.view(contract, "entitlement_hub", "roles", old) == 0
        assert await chain.view(contract, "entitlement_hub", "roles", fresh.address) == GATEWAY
        assert await chain.view(contract, "entitlement_hub", "roles", revoker) == REVOKER

        async def is_at_rest() -> bool:
            waiting = await house.rows("SELECT kind FROM task WHERE kind IN ('anchor_batch', 'revoke_leaf')")
            return not waiting and not await house.rows(IN_THE_END)

        await until(is_at_rest, within_s=60, what="all final")
        await hub.stop()
        (folder / "former.key").unlink()
        for sender, count in ((old, 3), (fresh.address, 1), (revoker, 1)):
            rows = await house.rows(
                f"SELECT nonce, state FROM chain_transaction WHERE sender = '{sender}' ORDER BY nonce"
            )
            assert rows == [(nonce, "CONFIRMED") for nonce in range(count)], sender
        assert await house.rows("SELECT kind, detail FROM break_") == []
        await house.verified()


def has_sent(between: GoBetween, sender: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return between.waiting_of(sender) == count

    return look


def impatient() -> None:
    """In the child: an operator who does not wait for blocks."""
    from hub.entry import rotation

    rotation.__dict__["WAITED_FOR_S"] = 1.0
