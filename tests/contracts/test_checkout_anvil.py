"""CheckoutSplitter and TestUSD on Foundry's node: the same transactions give the same logs, reasons and gas as on the
small EVM."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from eth_utils import keccak

from hub.domain.anchors import NO_END
from tests.contracts.anvil import Pair, paired
from tests.contracts.evm import GATE, NOW, OWNER, STRANGER, TOKEN, Hub, Receipt
from tests.contracts.splitter import (
    AUTHORIZATION,
    DEADLINE,
    NO_BOUND,
    PAYEES,
    PRICE,
    REFERENCE,
    SHARES,
    Shop,
    Signature,
    fresh_shop,
    offer_id,
    signed,
    split_id,
    terms_of,
)

pytestmark = pytest.mark.browser

Step = Callable[[Shop], Receipt]
# Each way to buy, and why it is refused to a stranger without coins.
STRANGERS = {"buy": "allowance", "buyWithPermit": "balance", "buyWithAuthorization": "signature"}
WAYS = tuple(STRANGERS)
PUBLISHER, OPERATOR = PAYEES


@pytest.fixture
def pair() -> Iterator[Pair[Shop]]:
    with paired(shop_beside) as pair:
        assert all(pair.says(lambda shop: [shop.evm.code(one.address) for one in (shop.splitter, shop.coin)]))
        assert pair.here.splitter.address == pair.there.splitter.address
        assert pair.here.coin.address == pair.there.coin.address
        yield pair


def shop_beside(hub: Hub) -> Shop:
    shop = fresh_shop(hub)
    for account in (shop.buyer, GATE):
        shop.approve(NO_BOUND, account)
    return shop


@pytest.mark.parametrize("way", WAYS)
def test_a_way_to_buy_is_taken_and_refused_alike(pair: Pair[Shop], way: str) -> None:
    cheap = terms_of(pair.here.coin, price=1)
    month = terms_of(pair.here.coin, token_id=TOKEN + 1, term=30 * 86_400)
    assert pair.does(brings(way, deadline=NOW)) == "late"
    assert pair.does(brings(way, terms=cheap)) == "offer"
    assert pair.does(brings(way, to=bytes(20))) == "to"
    assert pair.does(brings(way, by="stranger")) == STRANGERS[way]
    assert pair.says(books) == (100 * PRICE, 0, 0, (0, 0), (0, 0), (False, 0, 0))

    assert pair.does(brings(way)) is None
    assert pair.does(brings(way)) == ("used" if way == "buyWithAuthorization" else "settled")
    assert pair.says(books) == (99 * PRICE, PRICE, PRICE, (0, 0), (0, 0), (True, NO_END, 1))

    assert pair.does(told("splitter", GATE, "setOffer", offer_id(month), month)) is None
    assert pair.does(brings(way, terms=month)) is None
    bought_at = pair.now
    end = pair.says(lambda shop: shop.hub.ask("expiresAt", shop.buyer.address, TOKEN + 1))
    assert end == bought_at + 30 * 86_400


def test_dividing_paying_out_and_giving_back_are_the_same(pair: Pair[Shop]) -> None:
    references = [keccak(b"purchase %d" % number) for number in range(3)]
    for way, reference in zip(WAYS, references, strict=True):
        assert pair.does(brings(way, reference)) is None
    assert pair.does(told("splitter", STRANGER, "withdraw", pair.here.coin.address, PUBLISHER)) == "nothing"
    assert [pair.does(Shop.divide) for _ in range(2)] == [None, None]
    assert pair.says(books)[:3] == (97 * PRICE, 3 * PRICE, 0)
    assert [pair.does(lambda shop: shop.refund(references[0])) for _ in range(2)] == [None, "refunded"]
    part = 2 * PRICE * 9 // 10, 2 * PRICE // 10
    assert pair.says(books)[:5] == (98 * PRICE, 2 * PRICE, 0, part, (0, 0))

    assert pair.does(told("splitter", STRANGER, "withdraw", pair.here.coin.address, PUBLISHER)) is None
    assert pair.does(lambda shop: shop.refund(references[1])) == "balance"  # GATE has nothing to top it up with
    assert pair.does(told("coin", OWNER, "mint", GATE.address, PRICE)) is None
    assert pair.does(told("splitter", pair.here.buyer, "setPayeeAddress", STRANGER.address)) is None
    assert pair.does(lambda shop: shop.refund(references[1])) is None
    assert pair.does(told("splitter", STRANGER, "withdraw", pair.here.coin.address, OPERATOR)) is None
    assert pair.says(books)[:5] == (98 * PRICE, 0, 0, (0, 0), (part[0], part[1] // 2))
    assert pair.says(lambda shop: shop.holds(STRANGER.address)) == PRICE
    assert pair.says(lambda shop: [shop.is_bought(reference) for reference in references]) == [True] * 3

    assert pair.does(told("coin", pair.here.buyer, "transfer", pair.here.splitter.address, 77)) is None
    sweep = told("splitter", OWNER, "sweep", pair.here.coin.address, OPERATOR)
    assert [pair.does(sweep) for _ in range(2)] == [None, "nothing"]


def test_pausing_stops_buying_alone_on_both(pair: Pair[Shop]) -> None:
    assert pair.does(brings("buy")) is None
    assert pair.does(told("splitter", STRANGER, "pause")) == "role"
    assert [pair.does(told("splitter", GATE, "pause")) for _ in range(2)] == [None, "paused"]
    for way in WAYS:
        assert pair.does(brings(way, keccak(b"while paused"))) == "paused"
    assert pair.does(Shop.divide) is None
    assert pair.does(told("splitter", STRANGER, "withdraw", pair.here.coin.address, OPERATOR)) is None
    assert pair.does(told("coin", OWNER, "mint", GATE.address, PRICE)) is None
    assert pair.does(Shop.refund) is None
    assert [pair.does(told("splitter", GATE, "unpause")) for _ in range(2)] == [None, "not paused"]
    assert pair.does(told("splitter", OWNER, "setToken", pair.here.coin.address, False)) is None
    assert pair.does(brings("buy", keccak(b"off the list"))) == "token"
    assert pair.does(told("splitter", OWNER, "setToken", pair.here.coin.address, True)) is None
    assert pair.does(brings("buy", keccak(b"afterwards"))) is None


def test_the_coin_takes_and_refuses_signatures_alike(pair: Pair[Shop]) -> None:
    shop, nonce = pair.here, keccak(b"nonce")
    v, r, s = shop.permit()
    spent = (shop.buyer.address, shop.splitter.address, PRICE, DEADLINE)
    for signature in ((55 - v, r, s), (0, r, s), (v, r, bytes(32)), shop.permit(value=PRICE + 1)):
        assert pair.does(told("coin", STRANGER, "permit", *spent, *signature)) == "signature"
    assert [pair.does(told("coin", STRANGER, "permit", *spent, v, r, s)) for _ in range(2)] == [None, "signature"]

    moved = (shop.buyer.address, STRANGER.address, PRICE, 0, DEADLINE, nonce)
    to_receive = authorization(shop, "ReceiveWithAuthorization", moved)
    to_transfer = authorization(shop, "TransferWithAuthorization", moved)
    assert pair.does(told("coin", OWNER, "receiveWithAuthorization", *moved, *to_receive)) == "receiver"
    assert pair.does(told("coin", STRANGER, "receiveWithAuthorization", *moved, *to_transfer)) == "signature"
    assert pair.does(told("coin", STRANGER, "receiveWithAuthorization", *moved, *to_receive)) is None
    assert pair.does(told("coin", OWNER, "transferWithAuthorization", *moved, *to_transfer)) == "used"
    assert pair.does(told("coin", shop.buyer, "transfer", STRANGER.address, 100 * PRICE)) == "balance"
    assert pair.says(lambda shop: shop.holds(STRANGER.address)) == PRICE


def books(shop: Shop) -> tuple[Any, ...]:
    """Who holds what of the coin, what is owed, and the buyer's right."""
    right = tuple(shop.hub.ask(name, shop.buyer.address, TOKEN) for name in ("hasAccess", "expiresAt", "balanceOf"))
    return (
        shop.holds(shop.buyer.address),
        shop.holds(shop.splitter.address),
        shop.splitter.ask("undivided", shop.coin.address, split_id(SHARES)),
        tuple(shop.due(payee) for payee in PAYEES),
        tuple(shop.holds(payee) for payee in PAYEES),
        right,
    )


def told(contract: str, *sent: Any) -> Step:
    """Sender, function and arguments, sent to the shop's `splitter` or `coin`."""
    return lambda shop: getattr(shop, contract).send(*sent)


def brings(
    way: str, reference: bytes = REFERENCE, *, terms: tuple[object, ...] = (), by: str = "buyer", **changes: Any
) -> Step:
    """Buys that way, with the buyer's signature or, where a stranger brings it, with theirs."""

    def step(shop: Shop) -> Receipt:
        selling = replace(shop, terms=terms or shop.terms)
        sender = shop.buyer if by == "buyer" else STRANGER
        signing = replace(selling, buyer=sender)
        order = selling.order(reference, **changes)
        proof = {
            "buy": lambda: (),
            "buyWithPermit": signing.permit,
            "buyWithAuthorization": lambda: (
                shop.buyer.address,
                *signing.authorization(nonce=selling.key(reference, **changes)),
            ),
        }[way]()
        return shop.splitter.send(sender, way, order, selling.terms, *proof)

    return step


def authorization(shop: Shop, kind: str, moved: tuple[object, ...]) -> Signature:
    message = dict(zip((name for name, _ in AUTHORIZATION), moved, strict=True))
    return signed(shop.buyer, shop.coin, {kind: AUTHORIZATION}, message)
