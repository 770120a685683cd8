"""What is on sale on chain: the terms of each sale, and the calls that bring the splitter's offers in line with them.

An offer is named by the hash of its terms, so another price, split or payee's address is another offer. One that
nothing sells any more is closed, but not while a shown order can still be paid under it: its key commits to the offer.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from eth_utils.crypto import keccak

from hub.channels import stablecoin_words as words
from hub.domain.checkout import NO_TERM, Part, Sale, Terms, offer_id, parts_of, split_id, units_of
from hub.domain.money import Money
from hub.ports import Checkout, CheckoutPlace, SplitterCall

Offered = tuple[Terms, list[Part]]
NAMED_AT_ONCE = 100  # sales of a big catalogue, some 5 ms of hashing: the process has other things to do in between


class Shelf:
    """The offers of one channel. `treasury` gets the hub's fee and the parts of payees without an address of their own;
    None: what they share in is not sold."""

    def __init__(
        self, takes: Callable[[Money], bool], treasury: bytes | None, payees: Mapping[str, bytes]
    ) -> None:
        self._takes = takes
        self._treasury = treasury
        self._payees = payees

    @property
    def payees(self) -> int:
        """How many have an address of their own."""
        return len(self._payees)

    @property
    def has_payees(self) -> bool:
        return self._treasury is not None or bool(self._payees)

    def terms_of(self, place: CheckoutPlace, sale: Sale, price: Money) -> Offered | str:
        """Terms and split of a sale at a price; a code where there are none."""
        units = units_of(price, place.decimals) if self._takes(price) else None
        if not units:
            return "amount_not_taken"
        try:
            parts = parts_of(sale.shares, self._address_of)
        except KeyError:
            return "payee_without_address"
        return Terms(place.token, units, sale.token_id, NO_TERM, split_id(parts, keccak)), parts

    async def differences(
        self,
        counter: Checkout,
        sales: Sequence[Sale],
        told_open: Collection[bytes],
        is_waited_for: Callable[[bytes], bool],
    ) -> Sequence[Sequence[SplitterCall]]:
        """See `hub.ports.SellsOnChain`. What the log tells is looked up in the contract before anything follows."""
        wanted = await self._named(await counter.place(), sales)
        absent = wanted.keys() - told_open
        absent -= await counter.open_among(absent)
        left = [offer for offer in sorted(told_open) if offer not in wanted and not is_waited_for(offer)]
        open_ = await counter.open_among(left)
        splits = {terms.split_id: parts for terms, parts in (wanted[offer] for offer in sorted(absent))}
        known = await counter.set_among(splits)
        steps = [
            # First: what is sold that should not be costs somebody money, what is not yet sold is sold a little later.
            [_close_offer(offer) for offer in left if offer in open_],
            [_set_split(split, parts) for split, parts in splits.items() if split not in known],
            [_set_offer(offer, wanted[offer][0]) for offer in sorted(absent)],
        ]
        return [step for step in steps if step]

    async def _named(self, place: CheckoutPlace, sales: Sequence[Sale]) -> dict[bytes, Offered]:
        """What can be sold, by its offer's name."""
        found = {}
        for number, sale in enumerate(sales):
            if number % NAMED_AT_ONCE == 0:
                await asyncio.sleep(0)
            offered = self.terms_of(place, sale, sale.price)
            if not isinstance(offered, str):
                found[offer_id(offered[0], keccak)] = offered
        return found

    def _address_of(self, payee: str | None) -> bytes | None:
        return self._treasury if payee is None else self._payees.get(payee, self._treasury)


def _set_split(split: bytes, parts: Sequence[Part]) -> SplitterCall:
    return SplitterCall(f"split:{split.hex()}", words.split_call(split, parts))


def _set_offer(offer: bytes, terms: Terms) -> SplitterCall:
    return SplitterCall(f"offer:{offer.hex()}", words.offer_call(offer, terms))


def _close_offer(offer: bytes) -> SplitterCall:
    return SplitterCall(f"close:{offer.hex()}", words.close_call(offer))
