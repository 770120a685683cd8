"""Payment channels (支付渠道): one adapter a provider, found by its code. A new one is a file and a line here."""

from hub.channels.sandbox import SandboxChannel

CHANNELS = {SandboxChannel.code: SandboxChannel}
