"""Records, and the chain as it is read."""

from typing import Any

from hub.domain.anchors import NO_END
from hub.flows.looks import LOOK
from tests.entry.hubs import CHECKOUT, reached, until
from tests.entry.plays.rights import revoked
from tests.entry.plays.scene import Scene, paid_order, sale, waiting
from tests.entry.plays.stage import AFTER_LEASES_S, Stage

READ = ("chain_watch", "chain_event", "chain_block", "chain_cursor")  # what was read of the chain is in these


async def unread(stage: Stage, name: str) -> None:
    """Nothing was ever read of the chain."""
    for table in READ:
        await stage.house.change(f"DELETE FROM {table}")


async def unwatched(stage: Stage, name: str) -> None:
    """The contract became known after the rest was read."""
    await stage.house.change("DELETE FROM chain_watch")


async def taken_back(stage: Stage, name: str) -> None:
    """One more block was read, which the node will turn out not to have."""
    await stage.house.change(
        "INSERT INTO chain_block (chain_id, number, hash, parent_hash, mined_at_us) "
        "SELECT chain_id, number + 1, '0xgone' || (number + 1), hash, 0 FROM chain_cursor"
    )
    await stage.house.change("UPDATE chain_cursor SET number = number + 1, hash = '0xgone' || (number + 1)")


async def rewritten(stage: Stage, name: str) -> None:
    """What was read as final is not what the node has there."""
    await stage.house.change("UPDATE chain_cursor SET hash = '0xother', final_hash = '0xother'")


async def told_to_go_on(stage: Stage, name: str) -> None:
    """Reading has halted, and the node turns out to have what was final."""
    await stage.house.change("UPDATE chain_cursor SET halt_reason = 'a test', halted_at_us = 1, version = version + 1")


async def changed(stage: Stage, name: str) -> None:
    """A sale, and then somebody changes a leaf of a batch whose Break is not open, in the database alone."""
    await sale(stage, name)
    await stage.house.change(
        f"UPDATE leaf SET expiry = {NO_END - 1} WHERE id = (SELECT min(id) FROM leaf WHERE expiry = {NO_END} "
        "AND batch_id IN (SELECT id FROM anchor_batch WHERE is_settlement = 0) "
        "AND batch_id NOT IN (SELECT subject_id FROM break_))"
    )


async def change_back(stage: Stage) -> None:
    """After such a change, which `hub verify` would find at the end."""
    await stage.house.change(f"UPDATE leaf SET expiry = {NO_END} WHERE expiry = {NO_END - 1}")
    await stage.house.change("DELETE FROM break_ WHERE subject_id LIKE 'anb_%'")


async def halted(stage: Stage, name: str) -> None:
    """Reading halts; once it goes on, a sale is recorded as ever."""
    if not stage.is_last:
        await stage.hub.ended()
        return
    async with stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        await reached(learner, bought["order"]["id"], status="PAID", chainStatus="FINALIZED")


async def go_on_reading(stage: Stage) -> None:
    """After a halt, which every later play would meet: the node turns out to be right, and everything is read anew."""
    if await stage.house.rows("SELECT 1 FROM chain_cursor WHERE hash = '0xother' OR halt_reason IS NOT NULL"):
        await unread(stage, "")
        await stage.house.change("DELETE FROM break_ WHERE subject_id LIKE 'chain:%'")


async def refused_for_a_while(stage: Stage, name: str) -> None:
    """The chain says no to this batch; a person is told, and it is anchored when the chain lets it."""
    async with stage.learner() as learner:
        bought = await learner.mutate(CHECKOUT, stage.listings[name].bought(name))
        if not stage.is_last:
            await stage.hub.ended()
        await reached(learner, bought["order"]["id"], status="PAID", chainStatus="FINALIZED", within_s=90)


def refuse_to_anchor() -> None:
    from hub.chain.client import JsonRpcChain
    from hub.ports import ChainRefused

    async def sign_anchor(*_: Any) -> Any:
        raise ChainRefused("paused")

    setattr(JsonRpcChain, "sign_anchor", sign_anchor)  # noqa: B010  # its signature does not matter here


def lose_what_was_sent_first() -> None:
    """Of each nonce; what replaces it, at once, gets through."""
    from hub.chain.client import JsonRpcChain
    from hub.flows import sending

    send, lost = JsonRpcChain.send, dict[int, str]()

    async def send_again(self: Any, transaction: Any) -> None:
        if lost.setdefault(transaction.nonce, transaction.hash) != transaction.hash:
            await send(self, transaction)

    setattr(JsonRpcChain, "send", send_again)  # noqa: B010  # a method of a class is not assigned to
    sending.__dict__["OUTBID_AFTER_US"] = 0


async def counted_on(stage: Stage, name: str) -> None:
    """Before any death: an order was paid in a block that the chain's log does not tell of."""
    order_id = await paid_order(stage, name)
    await stage.hub.kill()
    [(attempt_id,)] = await stage.house.rows(f"SELECT id FROM payment_attempt WHERE order_id = '{order_id}'")
    body = f'{{"attempt"\\:"{attempt_id}","refund"\\:null,"since_us"\\:0}}'  # not the names of parameters
    await stage.house.change(
        "INSERT INTO task (kind, key, body, attempts, run_at_us) "
        f"VALUES ('{LOOK}', '{attempt_id}', CAST('{body}' AS TEXT), 0, 0)"
    )


async def found_gone(stage: Stage, name: str) -> None:
    """Its right is held back, and a person is told once."""
    listing_id = stage.listings[name].listing_id
    states = (
        "SELECT a.id, g.state FROM order_ o JOIN payment_attempt a ON a.order_id = o.id JOIN grant_ g "
        f"ON g.source_ref = o.id WHERE o.listing_id = '{listing_id}'"
    )

    async def is_held_back() -> bool:
        return [state for _, state in await stage.house.rows(states)] == ["SUSPENDED"]

    await until(is_held_back, within_s=60, what="held back")
    [(attempt_id, _)] = await stage.house.rows(states)
    assert await stage.house.rows(f"SELECT kind FROM break_ WHERE subject_id = '{attempt_id}'") == [("CHAIN",)]


CHAIN: dict[str, Scene] = {
    "close_batch": Scene(),
    "keep_signed": Scene(),
    "begin_reading": Scene(waiting, before=unread),
    "widen": Scene(waiting, before=unwatched),
    "take_blocks": Scene(),
    "step_back": Scene(before=taken_back),
    "find_gone": Scene(found_gone, before=counted_on),
    "resume_reading": Scene(before=told_to_go_on, command=lambda *_: ["chain", "resume"], may_be_done=True),
    "halt_reading": Scene(halted, before=rewritten, ahead_s=AFTER_LEASES_S + 1),  # last: no record is read after it
    "replace_signed": Scene(refused_for_a_while, spoil=lose_what_was_sent_first),
    "fail_batch": Scene(refused_for_a_while, spoil=refuse_to_anchor),
    "settle_transaction": Scene(revoked),
    "put_contract": Scene(waiting),
    "tell_of_root": Scene(waiting, before=changed),
}  # fmt: skip
