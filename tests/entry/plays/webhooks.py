"""Outgoing webhooks."""

import asyncio
from importlib import import_module
from typing import Any

from hub.entry.demo_client import Client
from tests.entry.hubs import LIST, until
from tests.entry.plays.scene import Scene, waiting
from tests.entry.plays.stage import Stage
from tests.entry.receivers import receiving


async def hooked(stage: Stage, name: str) -> None:
    """A platform has its events sent to a receiver of its own, changes everything about that, and gives it up."""
    async with receiving() as receiver, stage.partner() as partner:
        url = f"{receiver.url}/{name}"
        held = await _endpoint_of(partner, name)
        if held is None:
            await partner.mutate(HOOK_CREATE, {"url": url, "document": HOOK_DOCUMENT})
            held = await _endpoint_of(partner, name)
        assert held is not None
        endpoint = {"webhookEndpointId": held["id"]}
        for change in (HOOK_PAUSE, HOOK_RESUME, HOOK_ROTATE):
            await partner.mutate(change, endpoint)
        await partner.mutate(HOOK_UPDATE, {**endpoint, "url": f"{url}?again"})
        for number in (1, 2):
            await partner.mutate(LIST, {"externalId": f"{name}-hooked", "title": f"{name} {number} {stage.ahead_s}"})
        await until(lambda: receiver.has(f"{name}-hooked"), within_s=60, what="the event posted")
        before = receiver.count
        await partner.mutate(HOOK_REDELIVER, {**endpoint, "after": held["cursor"]})
        await until(lambda: receiver.has_more_than(before), within_s=60, what="the event posted again")
        if not stage.is_last:
            await asyncio.sleep(1)  # what is left of the lane
        await partner.mutate(HOOK_DELETE, endpoint)
    assert receiver.is_consistent


async def _endpoint_of(partner: Client, name: str) -> dict[str, Any] | None:
    answer = await partner.query("{ webhookEndpoints(first: 100) { nodes { id url cursor } } }", {})
    found = [one for one in answer["webhookEndpoints"]["nodes"] if one["url"].partition("?")[0].endswith(f"/{name}")]
    return found[0] if found else None


# Only what the play waits for: all that all plays do is more than two cores post in its time.
HOOK_DOCUMENT = """subscription { events(kinds: [LISTING_CHANGED]) {
  id kind payload { ... on ListingChanged { externalId } } } }"""
HOOK_CREATE = """mutation($input: WebhookEndpointCreateInput!) {
  webhookEndpointCreate(input: $input) { secret userErrors { message } } }"""
HOOK_UPDATE = """mutation($input: WebhookEndpointUpdateInput!) {
  webhookEndpointUpdate(input: $input) { userErrors { message } } }"""
HOOK_PAUSE = """mutation($input: WebhookEndpointPauseInput!) {
  webhookEndpointPause(input: $input) { userErrors { message } } }"""
HOOK_RESUME = """mutation($input: WebhookEndpointResumeInput!) {
  webhookEndpointResume(input: $input) { userErrors { message } } }"""
HOOK_ROTATE = """mutation($input: WebhookEndpointRotateSecretInput!) {
  webhookEndpointRotateSecret(input: $input) { secret userErrors { message } } }"""
HOOK_REDELIVER = """mutation($input: WebhookRedeliverInput!) {
  webhookRedeliver(input: $input) { userErrors { message } } }"""
HOOK_DELETE = """mutation($input: WebhookEndpointDeleteInput!) {
  webhookEndpointDelete(input: $input) { deletedId userErrors { message } } }"""


def forget_at_once() -> None:
    import_module("hub.flows.deliveries").__dict__["KEEP_DELIVERIES_US"] = -1_000_000


WEBHOOKS: dict[str, Scene] = {
    "put_endpoint": Scene(hooked),
    "change_endpoint": Scene(hooked),
    "replay": Scene(hooked),
    "fan_out": Scene(hooked),
    "keep_payload": Scene(hooked),
    "record_attempt": Scene(hooked),
    "leave_lane": Scene(hooked),
    "forget_deliveries": Scene(waiting, before=hooked, spoil=forget_at_once),
}  # fmt: skip
