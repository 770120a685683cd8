"""How an adapter is made: from HUB_CHANNEL_<CODE>_<SETTING> of the operator, and from what the hub gives it besides."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

import httpx

from hub.domain.checkout import Sale
from hub.ports import Checkout, Clock


class ChannelSettingRefused(Exception):
    """A channel's setting that is missing or wrong: the hub does not start with it. Never holds the value."""

    def __init__(self, setting: str, text: str) -> None:
        super().__init__(f"{setting}: {text}")
        self.setting = setting
        self.text = text


@dataclass(frozen=True, slots=True)
class OnChain:
    """What an adapter gets whose provider is a contract."""

    checkout: Checkout
    sale_of: Callable[[str], Awaitable[Sale | None]]  # what an order sells
    reference_of: Callable[[str], bytes]  # 32 bytes that stand for an attempt's key and give nothing of it away
    # The keys of the attempt and of the refund that an order key stands for, as far as there are any.
    names_of: Callable[[str], Awaitable[tuple[str | None, str | None]]]
    is_embedded: bool  # the chain is the hub's own: its node never lags, and makes no blocks while nothing happens


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an adapter gets besides its settings. `notice_url` None: the provider cannot reach us, the hub asks."""

    client: httpx.AsyncClient  # closed by the adapter
    clock: Clock
    draw_seed: Callable[[], bytes]  # 32 bytes of chance
    notice_url: str | None
    on_chain: OnChain | None = None


def demand_known(settings: Mapping[str, str], *, required: Iterable[str], optional: Iterable[str]) -> None:
    """Every setting is one of the adapter's, and none that it needs is missing. Raises ChannelSettingRefused."""
    required = set(required)
    for name in sorted(settings.keys() - required - set(optional)):
        raise ChannelSettingRefused(name, "there is no such setting of this channel")
    for name in sorted(required - settings.keys()):
        raise ChannelSettingRefused(name, "the channel needs it")
