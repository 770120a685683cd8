"""Connected content platforms (平台): one adapter a kind, found by its code. A new partner is one file and one line."""

from hub.platforms.sandbox import SandboxPlatform

PLATFORMS = {"sandbox": SandboxPlatform}
