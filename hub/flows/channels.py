"""Channels as their operators keep them: let go on, drained or stopped, for every process at once; and looked at."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.domain.ids import Draw
from hub.domain.people import Viewer
from hub.domain.routing import WINDOW_US, Done, Standing, StandingState
from hub.flows import audit
from hub.ports import Hub

if TYPE_CHECKING:
    from hub.store.transactions import Tx

MAX_REASON = 200  # characters of why a channel is stopped


@dataclass(frozen=True, slots=True)
class KeptChannel:
    """A channel, what its operator lets it do, and how it has done of late."""

    code: str
    is_configured: bool  # in this process: another may have other settings
    standing: Standing
    done: Done


async def listed(hub: Hub) -> list[KeptChannel]:
    """Every channel that is configured or was ever stopped, by code."""
    since_us = hub.clock.now_us() - WINDOW_US
    async with hub.store.reading() as rx:
        set_ = await rx.routing.standings()
        return [
            KeptChannel(
                code,
                code in hub.channels,
                set_.get(code) or Standing(code, StandingState.RUNNING, "", 0),
                await rx.routing.done(code, since_us),
            )
            for code in sorted({*hub.channels, *set_})
        ]


async def stand(hub: Hub, viewer: Viewer, code: str, state: StandingState, reason: str = "") -> Standing:
    """RUNNING, DRAINING or STOPPED, from the commit on and in every process. Open payments go on to their end."""
    draw = hub.draw()
    standing = Standing(code, state, reason[:MAX_REASON], draw.now_us)
    await hub.store.write(keep_standing, viewer, standing, draw)
    return standing


async def keep_standing(tx: "Tx", viewer: Viewer, standing: Standing, draw: Draw) -> None:
    await tx.routing.stand(standing)
    await audit.note(tx, viewer, "channelStand", standing.code, draw, state=standing.state, reason=standing.reason)


async def open_count(hub: Hub, code: str) -> int:
    """Attempts on a channel whose end is not known yet: a drained one is empty at 0."""
    async with hub.store.reading() as rx:
        return await rx.routing.open_count(code)
