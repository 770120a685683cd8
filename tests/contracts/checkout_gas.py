"""What buying with a stablecoin costs: the rows of CheckoutSplitter in the gas table, with TestUSD as the coin.

"next" is what nearly every purchase is: the split has something coming, and the buyer has signed a permit before. The
right is new to the buyer in all rows.
"""

from dataclasses import replace

from eth_utils import keccak

from tests.contracts.evm import GATE, OWNER, STRANGER, TOKEN, Hub
from tests.contracts.splitter import PAYEES, PRICE, SHARES, Shop, fresh_shop, offer_id, terms_of


def measure(deployed: Hub) -> dict[str, int]:
    """Gas of whole transactions, with two payees."""
    first = fresh_shop(deployed.copy())
    shop = _bought(first.copy())
    return {
        "buy_first": _buy(first.copy()),
        "buy_next": _buy(shop.copy()),
        "buy_with_permit_next": _buy_with_permit(shop.copy()),
        "buy_with_authorization": _buy_with_authorization(shop.copy()),
        "divide_2_payees": _divided(shop.copy()),
        "withdraw": _withdrawn(shop.copy()),
        "refund": shop.copy().splitter.send(GATE, "refund", *_purchase(shop), SHARES).gas_used,
        "set_offer": _offered(shop.copy()),
    }


def _bought(shop: Shop) -> Shop:
    """After a purchase by permit: what comes next is another right."""
    shop.splitter.send(shop.buyer, "buyWithPermit", shop.order(), shop.terms, *shop.permit())
    return shop


def _other(shop: Shop) -> Shop:
    terms = terms_of(shop.coin, token_id=TOKEN + 1)
    shop.splitter.send(GATE, "setOffer", offer_id(terms), terms)
    return replace(shop, terms=terms)


def _buy(shop: Shop) -> int:
    return _other(shop).buy(keccak(b"next")).gas_used


def _buy_with_permit(shop: Shop) -> int:
    other = _other(shop)
    order = other.order(keccak(b"next"))
    return other.splitter.send(other.buyer, "buyWithPermit", order, other.terms, *other.permit()).gas_used


def _buy_with_authorization(shop: Shop) -> int:
    """Brought by somebody else, for a buyer who has no ether."""
    other = _other(shop)
    order, signature = other.order(keccak(b"next")), other.authorization(nonce=other.key(keccak(b"next")))
    sent = (order, other.terms, other.buyer.address, *signature)
    return other.splitter.send(STRANGER, "buyWithAuthorization", *sent).gas_used


def _divided(shop: Shop) -> int:
    shop.splitter.send(STRANGER, "divide", shop.coin.address, SHARES)  # the payees had something before
    _other(shop).buy(keccak(b"next"))
    return shop.splitter.send(STRANGER, "divide", shop.coin.address, SHARES).gas_used


def _withdrawn(shop: Shop) -> int:
    shop.splitter.send(STRANGER, "divide", shop.coin.address, SHARES)
    shop.coin.send(OWNER, "mint", PAYEES[0], PRICE)
    return shop.splitter.send(STRANGER, "withdraw", shop.coin.address, PAYEES[0]).gas_used


def _offered(shop: Shop) -> int:
    terms = terms_of(shop.coin, token_id=TOKEN + 9)
    return shop.splitter.send(GATE, "setOffer", offer_id(terms), terms).gas_used


def _purchase(shop: Shop) -> tuple[object, ...]:
    return shop.order(), shop.terms, shop.buyer.address
