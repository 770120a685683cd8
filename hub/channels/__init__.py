"""Payment channels (支付渠道): one adapter a provider, found by its code. A new one is a file and a line here."""

from collections import ChainMap
from collections.abc import Mapping
from typing import Protocol

from hub.channels.alipay import AlipayChannel
from hub.channels.connecting import Surroundings
from hub.channels.sandbox import SandboxChannel
from hub.channels.stablecoin import StablecoinChannel
from hub.channels.stripe import StripeChannel
from hub.channels.wechat import WeChatChannel
from hub.ports import Capabilities, Channel


class Adapter(Protocol):
    """The class of an adapter. `capabilities` are what it can do with the fullest settings."""

    code: str
    capabilities: Capabilities

    def connected(self, settings: Mapping[str, str], surroundings: Surroundings) -> Channel:
        """The adapter of these settings. Raises ChannelSettingRefused."""


# Providers with an API and notices: one suite holds all of them to the port.
CHANNELS: dict[str, Adapter] = {
    AlipayChannel.code: AlipayChannel,
    SandboxChannel.code: SandboxChannel,
    StripeChannel.code: StripeChannel,
    WeChatChannel.code: WeChatChannel,
}
# A contract is no such provider: asking for money is no call there, and nobody sends notices.
ON_CHAIN: dict[str, Adapter] = {StablecoinChannel.code: StablecoinChannel}
ADAPTERS: Mapping[str, Adapter] = ChainMap(CHANNELS, ON_CHAIN)
