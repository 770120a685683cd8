"""The process dies at every step of a sale in turn; another one goes on, and the end is the same."""

import pytest

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


async def sold(process: Bench, provider: Provider, viewer: object, listing: object, key: str) -> None:
    """What buyer, provider and worker do in one sale; every part of it may come again."""
    answer = await process.buy(viewer, listing, key)  # type: ignore[arg-type]
    assert answer.refusal is None
    for payment in list(provider.payments.values()):
        if payment.state == "OPEN":
            provider.move(payment.key, "TAKEN")
    while provider.notices:
        await notices.receive(process.hub, "sandbox", provider.notices[0])
        provider.notices.pop(0)
    await process.record()
