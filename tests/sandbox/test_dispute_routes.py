"""Answers to a dispute at the peer: taken once, while they are awaited, under one key however often they come."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from hub.channels.sandbox import SandboxChannel
from hub.domain.disputes import DisputeState
from hub.domain.payments import Outcome
from hub.ports import AnswersDisputes
from tests.channels.benches import Clock, attempt
from tests.sandbox.conftest import Sandbox
from tests.world import World


async def disputed(sandbox: Sandbox) -> str:
    """The id of the dispute of a charge."""
    await sandbox.create(payment_method="pm_card_visa")
    body = {"reference": "TB-1-1", "status": "needs_response"}
    told = await sandbox.client.post("/control/disputes", json=body, headers=sandbox.as_controller)
    return str(told.json()["id"])


async def answer(sandbox: Sandbox, id_: str, what: str, key: str = "k", **said: Any) -> httpx.Response:
    body = {"payment_reference": "TB-1-1"} | said
    headers = sandbox.as_hub | {"Idempotency-Key": key}
    return await sandbox.client.post(f"/v1/disputes/{id_}/{what}", json=body, headers=headers)


@pytest.mark.parametrize(
    ("what", "said", "status"),
    [("evidence", {"evidence": "they opened it daily"}, "under_review"), ("accept", {}, "accepted")],
)
async def test_answer_moves_the_dispute_once(sandbox: Sandbox, what: str, said: dict[str, str], status: str) -> None:
    id_ = await disputed(sandbox)
    first, again = [await answer(sandbox, id_, what, **said) for _ in range(2)]
    assert (first.status_code, first.json()["status"], again.json()) == (200, status, first.json())
    late = await answer(sandbox, id_, what, key="another", **said)
    assert (late.status_code, late.json()["error"]["code"]) == (409, "dispute_unexpected_state")


async def test_answer_to_no_dispute_or_without_words_is_refused(sandbox: Sandbox) -> None:
    id_ = await disputed(sandbox)
    assert (await answer(sandbox, "dp_other", "accept")).status_code == 404
    assert (await answer(sandbox, id_, "evidence", key="k2")).status_code == 400
    assert (await answer(sandbox, id_, "evidence", key="k3", evidence="x" * 20_001)).status_code == 400


async def test_the_adapter_answers_the_peer_and_hears_what_became_of_it(sandbox: Sandbox) -> None:
    id_ = await disputed(sandbox)
    address = sandbox.address
    async with httpx.AsyncClient(trust_env=False, verify=False) as client:
        channel = SandboxChannel(
            base_url=address.base_url, api_key=address.api_key, answer_secret=address.answer_secret,
            notice_secrets=(address.notice_secret,), notice_url=None, client=client, clock=Clock(),
        )  # fmt: skip
        assert isinstance(channel, AnswersDisputes)
        dispute = replace(World(None).dispute(attempt("TB-1-1"), id_), answers=1)  # type: ignore[arg-type]  # no store is asked here
        reply = await channel.submit_evidence(attempt("TB-1-1"), dispute, "they opened it daily")
        late = await channel.accept_dispute(attempt("TB-1-1"), replace(dispute, answers=2))
    assert reply.word is not None
    assert (reply.result.outcome, reply.word.state) == (Outcome.DONE, DisputeState.UNDER_REVIEW)
    assert (late.result.outcome, late.result.code) == (Outcome.REJECTED, "dispute_unexpected_state")
