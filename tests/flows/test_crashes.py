"""The process dies at every step of a sale in turn; another one goes on, and the end is the same."""

import pytest

from hub.domain.payments import AttemptState
from hub.entry.verification import verified
from hub.flows import notices
from tests.flows.benches import Bench
from tests.flows.provider import Died, Fuse, MortalStore, Provider
from tests.world import SECOND_US


def mortal(bench: Bench, fuse: Fuse, owner: str) -> Bench:
    """A process that dies at the fuse's step, on the same database and before the same provider."""
    process = bench.rival(owner)
    process.store = MortalStore(bench.store, fuse)
    return process


@pytest.mark.parametrize("is_action", [False, True], ids=["charged at once", "paid by notice"])
async def test_sale_ends_alike_wherever_its_process_dies(bench: Bench, is_action: bool) -> None:
    listing = await bench.world.listing()
    provider = bench.channel = Provider(decide=lambda: "OPEN" if is_action else "TAKEN")
    at, deaths, sales = 0, 0, 0
    stride = 1 if bench.is_embedded else 4
    while True:
        at, sales = at + stride, sales + 1
        fuse = provider.fuse = Fuse(at)
        viewer, before = await bench.world.learner(), set(provider.payments)
        try:
            await sold(mortal(bench, fuse, f"mortal-{at}"), provider, viewer, listing, f"key-{at}")
        except Died:
            deaths += 1
        provider.fuse = Fuse()
        survivor = bench.rival(f"survivor-{at}")
        for _ in range(4):
            bench.clock.pass_us(61 * SECOND_US)
            await survivor.work()
            await survivor.record()
        await sold(survivor, provider, viewer, listing, f"key-{at}")
        for _ in range(2):
            bench.clock.pass_us(61 * SECOND_US)
            await survivor.record()
        assert len(set(provider.payments) - before) == 1, f"charged once, killed at step {at}"
        rows = await bench.rows(
            f"SELECT status, received_minor, chain_status, attempts FROM order_ WHERE user_id = '{viewer.user_id}'"
        )
        assert rows == [("PAID", 9900, "CONFIRMED", 1)], f"killed at step {at}"
        assert (await bench.events(str(viewer.user_id))).count("ORDER_PAID") == 1
        assert await bench.rows("SELECT kind, attempts FROM task") == []
        if fuse.steps < at:
            break
    assert deaths >= 15 // stride
    for check in await verified(bench.hub, with_chain=False):
        assert check.is_fine, (check.name, check.wrong)
    assert sum(bench.chain.roots.values()) == sales
    assert len(bench.chain.roots) == len(set(bench.chain.sent))


async def test_request_that_never_arrived_is_sent_again_and_charged_once_wherever_its_task_dies(bench: Bench) -> None:
    """A death before and after each thing that the Task does: ask, note NOT_SENT, note the sending, send, note it."""
    listing, seen = await bench.world.listing(), set()
    for step in range(1, 13) if bench.is_embedded else (4, 5):
        provider = bench.channel = Provider(fault=lambda: "lost before")
        order, attempt = await bench.waiting(listing=listing)
        provider.fault, provider.fuse = lambda: "", Fuse(step)
        bench.clock.pass_us(61 * SECOND_US)
        [task] = await bench.claimed()
        with pytest.raises(Died):
            await mortal(bench, provider.fuse, f"mortal-{step}").run(task)
        seen |= set(await bench.states(order.id))
        provider.fuse = Fuse()
        bench.clock.pass_us(61 * SECOND_US)
        await bench.rival(f"survivor-{step}").work()
        assert await bench.states(order.id) == [AttemptState.CHARGED], f"died at step {step}"
        assert list(provider.payments) == [attempt.key]
        assert provider.taken_minor(order.number) == 9900
        assert len(await bench.grants(order.user_id, order.course_id)) == 1
        assert await bench.rows("SELECT kind FROM task") == []
    assert AttemptState.NOT_SENT in seen


async def sold(process: Bench, provider: Provider, viewer: object, listing: object, key: str) -> None:
    """What buyer, provider and worker do in one sale; every part of it may come again."""
    answer = await process.buy(viewer, listing, key)  # type: ignore[arg-type]  # sales know nothing of who buys what
    assert answer.refusal is None
    for payment in list(provider.payments.values()):
        if payment.state == "OPEN":
            provider.move(payment.key, "TAKEN")
    while provider.notices:
        await notices.receive(process.hub, "sandbox", provider.notices[0])
        provider.notices.pop(0)
    await process.record()
