"""Selling on chain, as far as only the wiring knows it: which contracts, whose orders, who sends."""

from dataclasses import dataclass, field
from typing import Final

from hub.chain.checkout import TAGS, JsonRpcCheckout
from hub.chain.checkout_deployment import TEST_TOKEN
from hub.channels.connecting import OnChain
from hub.channels.stablecoin import CODE
from hub.domain.checkout import Sale
from hub.entry.settings import SettingRefused, Settings
from hub.flows import offers
from hub.flows.sending import finished
from hub.ports import ChainReceipt, Hub, SplitterCall

# Blocks that count as deep: on a chain of our own nothing comes back; Ethereum has not undone so many since its merge.
OWN_CONFIRMATIONS: Final = 1
CONFIRMATIONS: Final = 12
MOST_CONFIRMATIONS: Final = 1_000
TAG: Final = "channel:stablecoin"  # keeps its references apart from merchants' order keys


def token_of(settings: Settings) -> str | None:
    """The token to sell for: an address or TEST_TOKEN; None: this hub sells nothing on chain. Raises SettingRefused."""
    token = settings.channels.get(CODE, {}).get("token")
    if token == TEST_TOKEN and settings.chain_url is not None:
        raise SettingRefused("HUB_CHANNEL_STABLECOIN_TOKEN", "TestUSD is for the embedded chain alone: name a token")
    return token


def confirmations_of(settings: Settings) -> int | str:
    """How many blocks a purchase needs, its own among them; or what the node has to call its block. Raises
    SettingRefused."""
    text = settings.channels.get(CODE, {}).get("confirmations")
    if text is None:
        return OWN_CONFIRMATIONS if settings.chain_url is None else CONFIRMATIONS
    if text in TAGS:
        return text
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_CONFIRMATIONS:
        name = "HUB_CHANNEL_STABLECOIN_CONFIRMATIONS"
        raise SettingRefused(name, f"safe, finalized, or a number of blocks from 1 to {MOST_CONFIRMATIONS}")
    return int(text)


@dataclass(slots=True)
class CheckoutDesk:
    """What the stablecoin channel asks of the hub it belongs to, which is built after it."""

    checkout: JsonRpcCheckout
    treasury: str  # of an embedded chain, where nobody has to name one
    is_embedded: bool
    _hub: list[Hub] = field(default_factory=list)

    @property
    def on_chain(self) -> OnChain:
        return OnChain(self.checkout, self._sale_of, self._reference_of, self._names_of, self.is_embedded)

    def belong_to(self, hub: Hub) -> None:
        self._hub[:] = [hub]
        self.checkout.send_by(self._carry_out)

    async def _carry_out(self, contract: str, call: SplitterCall) -> ChainReceipt | None:
        depth = self.checkout.depth
        return await finished(self._hub[0], call.purpose, contract, call.data, by=call.by, depth=depth)

    async def _sale_of(self, order_id: str) -> Sale | None:
        return await offers.sale_of(self._hub[0], order_id)

    async def _names_of(self, order_key: str) -> tuple[str | None, str | None]:
        return await offers.names_of(self._hub[0], CODE, order_key)

    def _reference_of(self, key: str) -> bytes:
        return self._hub[0].vault.order_key(TAG, key)
