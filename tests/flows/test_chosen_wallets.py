"""A wallet chosen at checkout: the right's first leaf is for it, and there is no second one to pay for."""

import pytest

from hub.domain.catalogue import Listing
from hub.domain.contracts import NOBODY
from hub.domain.orders import Order
from hub.domain.payments import PaymentAttempt
from hub.domain.people import Viewer, Wallet
from hub.domain.refusals import NotFound
from hub.domain.requests import Answer, IdempotencyConflict
from hub.flows import erasure, purchase, wallets
from tests.flows.benches import Bench
from tests.flows.test_claims import claimed, rights
from tests.flows.test_wallets import linked
from tests.wallets import account
from tests.world import operator


async def created(bench: Bench, viewer: Viewer, listing: Listing, wallet: Wallet, key: str = "o-1") -> Answer[Order]:
    return await purchase.create_order(
        bench.hub, viewer, listing_id=listing.id, expected=None, idempotency_key=key, wallet_id=wallet.id
    )


@pytest.mark.parametrize("price_minor", [9900, 0])
async def test_first_leaf_is_for_the_wallet_and_nothing_is_revoked(bench: Bench, price_minor: int) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing(price_minor=price_minor)
    wallet = await linked(bench, viewer)
    assert (await bench.buy(viewer, listing, wallet_id=wallet.id)).refusal is None
    assert await rights(bench) == [(account().address, False)]
    await bench.record()
    await bench.work()
    assert (len(bench.chain.roots), bench.chain.revoked) == (1, set())


async def test_what_a_wallet_pays_on_chain_is_its_own_until_it_is_claimed_for_the_chosen_one(bench: Bench) -> None:
    """The purchase settles for whoever pays: the order's wallet moves nothing there."""
    bench.channel.code = "stablecoin"
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    wallet, payer = await linked(bench, viewer), account(2).address
    bought = await bench.buy(
        viewer, listing, channel="stablecoin", method=f"permit:{payer.lower()}", wallet_id=wallet.id
    )
    assert isinstance(bought.value, PaymentAttempt)
    assert await rights(bench) == [(payer, False)]

    assert not (await claimed(bench, viewer, await bench.order_now(bought.value.order_id), wallet)).is_replay
    assert await rights(bench) == [(payer, True), (wallet.address, False)]


@pytest.mark.parametrize("is_erased", [False, True])
async def test_wallet_that_is_gone_before_the_money_comes_gets_nothing(bench: Bench, is_erased: bool) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    wallet = await linked(bench, viewer)
    order = (await created(bench, viewer, listing, wallet)).value
    assert order is not None
    if is_erased:
        await erasure.erase(bench.hub, operator(), user_id=str(viewer.user_id))
    else:
        await wallets.unlink(bench.hub, viewer, wallet_id=wallet.id)
    other = await bench.world.learner()
    await linked(bench, other)  # the same address, somebody else's now
    assert (await bench.pay(viewer, order)).refusal is None
    assert await rights(bench) == [(NOBODY, False)]


async def test_nobody_buys_for_a_wallet_of_somebody_else_or_of_nobody(bench: Bench) -> None:
    viewer, other = await bench.world.learner(), await bench.world.learner()
    listing, theirs = await bench.world.listing(), await linked(bench, other)
    await wallets.unlink(bench.hub, other, wallet_id=theirs.id)
    mine = await linked(bench, viewer)
    for wallet_id in (theirs.id, "wal_none"):
        answer = await bench.buy(viewer, listing, f"k-{wallet_id}", wallet_id=wallet_id)
        assert answer.refusal == NotFound("walletId")
    assert (await bench.buy(other, listing, "k-3", wallet_id=mine.id)).refusal == NotFound("walletId")
    assert await bench.one("SELECT count(*) FROM order_") == 0


async def test_another_wallet_under_the_same_key_is_another_request(bench: Bench) -> None:
    viewer, listing = await bench.world.learner(), await bench.world.listing()
    first, second = await linked(bench, viewer), await linked(bench, viewer, 2)
    made = await created(bench, viewer, listing, first)
    again = await created(bench, viewer, listing, first)
    assert (again.value, again.is_replay) == (made.value, True)
    with pytest.raises(IdempotencyConflict):
        await created(bench, viewer, listing, second)
