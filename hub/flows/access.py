"""T on the platforms: a right, or its end, is told to the access list of every platform that honours the course.

The hub's own record is the truth and `verifyEntitlement` answers from it; an access list is a copy, brought up to date
by Tasks. A lost answer is followed by a look (`verify_access`) before anything is repeated.
"""

from typing import TYPE_CHECKING

from hub.domain.entitlements import AccessState, EntitlementState, PlatformAccessState
from hub.domain.events import EntitlementGranted, EntitlementResumed, EntitlementRevoked, EntitlementSuspended
from hub.domain.ids import Draw
from hub.flows.tasks import skip
from hub.ports import (
    Access,
    AccessRequest,
    Cap,
    Conflict,
    Hub,
    NotSupported,
    Platform,
    RateLimited,
    Rejected,
    Transient,
)

if TYPE_CHECKING:
    from hub.domain.events import Logged
    from hub.store.tasks import LeasedTask
    from hub.store.transactions import Tx

CONSUMER = "access"
READ_AT_ONCE = 100
KIND = "platform_access"
MOVES_ACCESS = (EntitlementGranted, EntitlementRevoked, EntitlementSuspended, EntitlementResumed)
# Between looks at a platform that did not answer; the Task's own back-off comes on top.
AGAIN_US = 2_000_000


async def gather(hub: Hub) -> int:
    """Turn what opened or closed a right into Tasks, one per platform. Returns how many events were read."""
    async with hub.store.reading() as rx:
        held, head = await rx.events.position_of(CONSUMER), await rx.events.head()
        kinds = [kind.kind for kind in MOVES_ACCESS]
        told = await rx.events.read("hub", held, READ_AT_ONCE, kinds)
    if not told:
        await skip(hub, CONSUMER, held, head.position)
    else:
        await hub.store.write(tell_platforms, told, held, hub.draw())
    return len(told)


async def tell_platforms(tx: "Tx", told: "list[Logged]", held: int, draw: Draw) -> None:
    """The Tasks, in the unit that moves the consumer on. A Task looks the state up when it runs, so one per right and
    platform is enough, however often the right changes meanwhile."""
    await tx.events.move(CONSUMER, held, told[-1].position)
    for event in told:
        for target in await tx.entitlements.targets(event.subject):
            key = f"{event.subject}:{target.platform_id}:{event.position}"
            body = {"entitlement": event.subject, "platform": target.platform_id}
            tx.tasks.add(KIND, key, body, draw.now_us)


async def open_or_close(hub: Hub, task: "LeasedTask") -> int | None:
    """The Task of one right on one platform. Returns when to try again (µs), None when the list is as it should be."""
    entitlement_id, platform_id = task.body["entitlement"], task.body["platform"]
    async with hub.store.reading() as rx:
        entitlement = await rx.entitlements.get(entitlement_id)
        targets = await rx.entitlements.targets(entitlement_id)
    target = next((target for target in targets if target.platform_id == platform_id), None)
    platform = hub.platforms.get(target.platform_slug) if target else None
    if entitlement is None or target is None or platform is None:
        return None
    should_open = entitlement.state is EntitlementState.ACTIVE
    request = AccessRequest(
        pairwise_id=target.pairwise_id or "",
        member_external_id=target.member_external_id,
        external_id=target.external_id,
        key=f"{entitlement_id}:{platform_id}:{entitlement.version}",
    )
    try:
        state, detail = await _bring_about(platform, request, should_open=should_open), ""
    except RateLimited as limited:
        return hub.clock.now_us() + limited.after_ms * 1000
    except Transient as lost:
        await _keep(hub, entitlement_id, platform_id, PlatformAccessState.UNKNOWN, str(lost))
        return hub.clock.now_us() + AGAIN_US * (1 << min(task.attempts, 10))
    except (Rejected, Conflict) as no:
        state, detail = PlatformAccessState.REFUSED, str(no)
    except NotSupported as no:
        state, detail = PlatformAccessState.UNSUPPORTED, str(no)
    await _keep(hub, entitlement_id, platform_id, state, detail)
    async with hub.store.reading() as rx:
        now = await rx.entitlements.get(entitlement_id)
    # The right changed while we were at it, and the Task of that change may have come before us: look once more.
    return hub.clock.now_us() if now is not None and now.version != entitlement.version else None


async def _bring_about(platform: Platform, request: AccessRequest, *, should_open: bool) -> PlatformAccessState:
    """Look first, so that a repeat after a lost answer changes nothing; write if needed; look again."""
    wanted = Access.OPEN if should_open else Access.CLOSED
    can_verify = Cap.VERIFY in platform.capabilities
    if can_verify and await platform.verify_access(request) is wanted:
        return PlatformAccessState(wanted)
    await (platform.grant_access(request) if should_open else platform.revoke_access(request))
    if not can_verify:
        return PlatformAccessState.UNVERIFIED
    if await platform.verify_access(request) is not wanted:
        raise Transient(f"the access list of {platform.slug} does not show the change yet")
    return PlatformAccessState(wanted)


async def _keep(hub: Hub, entitlement_id: str, platform_id: str, state: PlatformAccessState, detail: str) -> None:
    access = AccessState(entitlement_id, platform_id, state)
    await hub.store.write(keep_access, access, detail[:500], hub.draw())


async def keep_access(tx: "Tx", access: AccessState, detail: str, draw: Draw) -> None:
    await tx.entitlements.set_access(access, detail, draw.now_us)
