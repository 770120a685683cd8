"""Two apps' libraries that others wrote: they take what our provider signs, and find our adapter's signatures right, so
that neither proves the other alone. python-alipay-sdk in an environment of its own, alipay-sdk in Node."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from hub.domain.money import Money
from hub.domain.payments import Stage
from hub.ports import NoticeRefused, RawNotice
from tests.channels.alipay_peer import (
    ALIPAY,
    APP,
    APP_ID,
    AlipayPeer,
    alipay_listening,
    pem,
    public_pem,
    text_of,
)
from tests.channels.bench_alipay import at
from tests.channels.benches import Clock, attempt, refund_of
from tests.channels.venvs import python_with
from tests.entry.npm import installed

pytestmark = pytest.mark.browser
PEER = Path(__file__).parents[1] / "peers" / "alipay"
WITHIN_S = 60.0
NOW_US = int(time.time() * 10**6)
ASKED = attempt("TB-7-1", channel="alipay", amount=Money(1250, "CNY"), expires_at_us=NOW_US + 1_800_000_000)
FAULTS = ["bad_signature", "tampered"]


@pytest.fixture
async def peer() -> AsyncIterator[AlipayPeer]:
    """At the machine's own time, which is the only one that the libraries know; its buyers scan at once."""
    async with alipay_listening(time.time, scans_at_once=True) as listening:
        yield listening


async def given_to_clients(peer: AlipayPeer) -> dict[str, Any]:
    """The keys, a payment that was made, three notices of it, and each kind of call as our adapter signed it."""
    channel = at(peer.url, clock=Clock(NOW_US))
    page = (await channel.create(attempt("TB-8-1", channel="alipay", amount=ASKED.amount, method="page"))).next_action
    await channel.create(ASKED)
    await channel.query(ASKED)
    peer.pays("TB_7_1")
    for refund in (refund_of(ASKED, 20, 7), refund_of(ASKED, 10, 8)):
        await channel.refund(ASKED, refund)
        await channel.query_refund(ASKED, refund)
    await channel.void(ASKED)
    await channel.aclose()
    assert page is not None
    signed = [*peer.fields, dict(parse_qsl(urlsplit(str(page.url)).query, keep_blank_values=True))]
    notices = [dict(parse_qsl(body.decode(), keep_blank_values=True)) for body in peer.notices]
    return {
        "gateway": peer.url,
        "app_id": APP_ID,
        "app_private_key": pem(APP),
        "app_public_key": public_pem(APP),
        "alipay_private_key": pem(ALIPAY),
        "alipay_public_key": public_pem(ALIPAY),
        "numbers": ["TB_9_1", "TB_7_1"],
        "page": "TB_10_1",
        "faults": FAULTS,
        "signed": signed,
        "notices": [[without(one, "sign", "sign_type"), one["sign"]] for one in notices],
    }


def without(fields: dict[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name not in names}


async def told_by(*command: str, given: dict[str, Any], cwd: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(json.dumps(given).encode()), WITHIN_S)
    assert process.returncode == 0
    told: dict[str, Any] = json.loads(out)
    return told


def demand_a_whole_sale(peer: AlipayPeer, told: dict[str, Any]) -> None:
    """What either library was told, over signatures that it checked by itself."""
    placed, found, closed = told["sale"]
    assert placed["qr_code"].startswith("https://qr.alipay.com/bax")
    assert (found["trade_status"], found["total_amount"]) == ("WAIT_BUYER_PAY", "12.50")
    assert closed["trade_no"] == found["trade_no"]
    assert peer.trades["TB_9_1"]["trade_status"] == "TRADE_CLOSED"
    taken_on, arrived = told["refund"]
    assert (taken_on["fund_change"], taken_on["refund_fee"]) == ("Y", "0.60")
    assert (arrived["refund_status"], arrived["refund_amount"]) == ("REFUND_SUCCESS", "0.30")


async def test_python_alipay_sdk_takes_our_provider_and_signs_as_our_adapter_does(peer: AlipayPeer) -> None:
    python = python_with(PEER / "requirements.txt")
    given = await given_to_clients(peer)
    told_of = given["notices"][0][0] | {"notify_id": "made-by-the-library", "subject": "100% +%2B 课程"}
    given |= {
        "notice": told_of,
        "signed": [without(fields, "sign") for fields in given["signed"]],
        "texts": [[text_of(without(fields, "sign")).decode(), fields["sign"]] for fields in given["signed"]],
    }
    signatures = [sign for _, sign in given["texts"]]
    peer.faults = [("query", "none"), *(("query", fault) for fault in FAULTS)]

    told = await told_by(str(python), "client.py", given=given, cwd=PEER)

    demand_a_whole_sale(peer, told)
    assert told["forged"] == ["AliPayValidationError"] * len(FAULTS)
    assert told["signatures"] == signatures
    assert told["is_right"] == [True] * 9
    assert told["takes_notices"] == [True] * 3
    channel, (by_rsa2, by_rsa) = at(peer.url), told["notices"]
    notice = channel.verify_notice(RawNotice({}, by_rsa2.encode()), NOW_US)
    assert (notice.event_id, notice.attempt_key, notice.result.stage) == (
        "made-by-the-library",
        "TB-7-1",
        Stage.CHARGED,
    )
    assert notice.result.amount == Money(1250, "CNY")
    with pytest.raises(NoticeRefused):  # 05.12: what this library signs with SHA-1
        channel.verify_notice(RawNotice({}, by_rsa.encode()), NOW_US)
    await channel.aclose()


async def test_alipay_sdk_of_npm_takes_our_provider_and_our_adapters_signatures(peer: AlipayPeer) -> None:
    folder = installed(PEER)
    given = await given_to_clients(peer)
    peer.faults = [("query", "none"), *(("query", fault) for fault in FAULTS)]

    told = await told_by("node", "client.mjs", given=given, cwd=folder)

    demand_a_whole_sale(peer, told)
    assert told["forged"] == ["AlipayRequestError"] * len(FAULTS)
    assert told["is_right"] == [True] * 9
    assert told["takes_notices"] == [True] * 3
    assert told["takes_spoilt"] == [False] * 3
    assert peer.opens(told["page"]) == "TB_10_1"


def test_no_client_of_others_is_in_the_projects_environment() -> None:
    with pytest.raises(ModuleNotFoundError):
        import_module("alipay")
