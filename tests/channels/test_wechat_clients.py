"""Two merchants' libraries that others wrote: they take what our provider signs, and find our adapter's signatures
right, so that neither proves the other alone. One in an environment of its own, the other in Node."""

import asyncio
import base64
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.domain.money import Money
from tests.channels.bench_wechat import wechat_channel
from tests.channels.benches import Clock, attempt, refund_of
from tests.channels.venvs import python_with
from tests.channels.wechat_peer import (
    API_V3_KEY,
    APPID,
    CERTIFICATE,
    CHINA,
    MCHID,
    MERCHANT,
    MERCHANT_SERIAL,
    PUBLIC_KEY_ID,
    WeChatPeer,
    key,
    wechat_listening,
)
from tests.entry.npm import installed
from tests.sandbox.conftest import merchant_listening

pytestmark = pytest.mark.browser
PEER = Path(__file__).parents[1] / "peers" / "wechat"
WITHIN_S = 60.0
CHARGED = attempt("TB-7-1", channel="wechat", amount=Money(1250, "CNY"))


@pytest.fixture
async def peer() -> AsyncIterator[WeChatPeer]:
    """At the machine's own time, which is the only one that the libraries know."""
    async with wechat_listening(time.time) as listening:
        yield listening


async def given_to_clients(peer: WeChatPeer) -> dict[str, Any]:
    """The merchant's keys, a day with one sale, two notices, and what our adapter has signed."""
    async with merchant_listening() as merchant:
        channel = wechat_channel(peer, clock=Clock(int(time.time() * 10**6)), notice_url=merchant.url)
        assert (await channel.create(CHARGED)).next_action is not None
        await peer.buyer_pays(CHARGED.key)
        await channel.refund(CHARGED, refund_of(CHARGED, 20))
        await channel.aclose()
        notices = [[headers, body.decode()] for headers, body in await merchant.got(2)]
    day = datetime.fromtimestamp(time.time(), CHINA).date().isoformat()
    signed, jsapi, pay_sign = await signed_by_the_adapter(peer)
    return {
        "gateway": peer.url,
        "mchid": MCHID,
        "appid": APPID,
        "serial_no": MERCHANT_SERIAL,
        "private_key": key(MERCHANT).private_pem,
        "merchant_certificate": key(MERCHANT).shown,
        "api_v3_key": API_V3_KEY,
        "public_key": key(PUBLIC_KEY_ID).shown,
        "public_key_id": PUBLIC_KEY_ID,
        "platform_keys": {serial: key(serial).shown for serial in (CERTIFICATE, PUBLIC_KEY_ID)},
        "notify_url": "http://127.0.0.1:9/notices",
        "day": day,
        "notices": notices,
        "signed": signed,
        "jsapi": jsapi,
        "pay_sign": pay_sign,
    }


async def signed_by_the_adapter(peer: WeChatPeer) -> tuple[list[dict[str, Any]], list[str], str]:
    """Each kind of call as it was sent, and the parameters for WeixinJSBridge."""
    requests: list[httpx.Request] = []

    def provider(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        body = b'{"prepay_id":"wx1"}'
        return httpx.Response(200, content=body, headers=peer.signature_headers(body))

    clock = Clock(int(time.time() * 10**6))
    channel = wechat_channel(peer, clock=clock, client=httpx.AsyncClient(transport=httpx.MockTransport(provider)))
    action = (await channel.create(replace(CHARGED, method="jsapi:oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"))).next_action
    await channel.query(CHARGED)
    await channel.void(CHARGED)
    await channel.refund(CHARGED, refund_of(CHARGED, 30, reason='课程 "退"款\\n'))
    await channel.query_refund(CHARGED, refund_of(CHARGED, 30))
    signed = []
    for request in requests:
        parts = dict(re.findall(r'(\w+)="([^"]*)"', request.headers["authorization"]))
        signed.append(
            {
                "method": request.method,
                "target": request.url.raw_path.decode(),
                "timestamp": int(parts["timestamp"]),
                "nonce": parts["nonce_str"],
                "body": request.content.decode(),
                "signature": parts["signature"],
                "authorization": request.headers["authorization"],
            }
        )
    assert action is not None
    told = json.loads(action.data or "")
    return signed, [told["appId"], told["timeStamp"], told["nonceStr"], told["package"]], told["paySign"]


async def told_by(*command: str, given: dict[str, Any], cwd: Path) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(process.communicate(json.dumps(given).encode()), WITHIN_S)
    assert process.returncode == 0
    told: dict[str, Any] = json.loads(out)
    return told


async def test_wechatpayv3_takes_our_provider_and_signs_as_our_adapter_does(peer: WeChatPeer) -> None:
    python = python_with(PEER / "requirements.txt")
    given = await given_to_clients(peer) | {"forged": "TB-CERT-1"}
    peer.faults = [("query", "none"), ("query", "none"), ("query", "bad_signature")]
    peer.refunds_end_as = None
    bill = peer.bill_file(given["day"])
    assert bill is not None

    told = await told_by(str(python), "client.py", given=given, cwd=PEER)

    for sale in (told["by_certificate"], told["by_public_key"]):
        assert [code for code, _ in sale] == [200, 200, 204]
        assert sale[0][1]["code_url"].startswith("weixin://wxpay/bizpayurl?pr=")
        assert sale[1][1]["trade_state"] == "NOTPAY"
    assert (told["refunded"]["status"], told["refunded"]["amount"]["refund"]) == ("PROCESSING", 30)
    assert told["bill"].splitlines()[0] == bill.decode("utf-8-sig").splitlines()[0]
    assert told["forged"] == "failed to verify the signature"
    assert [notice["event_type"] for notice in told["notices"]] == ["TRANSACTION.SUCCESS", "REFUND.SUCCESS"]
    before_the_refund = {"trade_state": "SUCCESS", "trade_state_desc": "支付成功"}
    assert told["notices"][0]["resource"] == peer.trades["TB-7-1"] | before_the_refund
    assert told["authorizations"] == [one["authorization"] for one in given["signed"]]
    assert len(told["authorizations"]) == 5
    assert told["pay_sign"] == given["pay_sign"]


async def test_wechatpay_axios_plugin_takes_our_provider_and_our_adapters_signatures(peer: WeChatPeer) -> None:
    folder = installed(PEER)
    given = await given_to_clients(peer)
    bill = peer.bill_file(given["day"])
    assert bill is not None
    spoilt = ["bad_signature", "stale", "early", "unsigned", "foreign_serial"]
    given |= {"spoilt": ["TB-7-1"] * len(spoilt), "bill": base64.b64encode(bill).decode()}
    peer.faults = [("query", "none"), *(("query", fault) for fault in spoilt)]

    told = await told_by("node", "client.mjs", given=given, cwd=folder)

    assert (told["placed"], told["found"], told["closed"]) == ([200, ["code_url"]], [200, "NOTPAY"], 204)
    assert told["forged"] == [
        "EV3_RES_HEADER_SIGNATURE_DIGEST",
        "EV3_RES_HEADER_TIMESTAMP_OFFSET",
        "EV3_RES_HEADER_TIMESTAMP_OFFSET",
        "EV3_RES_HEADERS_INCOMPLATE",
        "EV3_RES_HEADER_PLATFORM_SERIAL",
    ]
    assert [is_right for is_right, _ in told["notices"]] == [True, True]
    assert [resource.get("out_refund_no") for _, resource in told["notices"]] == [None, "TB-7-1-R1"]
    assert told["signed"] == [True] * 5
    assert told["paySign"] is True
    assert [row["商户退款单号"] for row in told["bill"]["rows"]] == ["0", "TB-7-1-R1"]
    assert told["bill"]["summary"]["总交易单数"] == "2"
