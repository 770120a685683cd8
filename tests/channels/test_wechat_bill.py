"""WeChat Pay's bill of a day: whole or not at all, exact to the fen, and the same lines whenever it is read."""

import hashlib
import io
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.channels.bill_files import Bill
from hub.channels.wechat import WeChatChannel
from hub.channels.wechat_bill import bill_lines, demand_whole, fen
from hub.domain.money import Money
from hub.domain.statements import LineKind, StatementLine
from hub.ports import StatementRefused
from tests.channels.bench_wechat import wechat_channel
from tests.channels.benches import NOW_US, attempt, refund_of
from tests.channels.wechat_peer import MCHID, Reply, WeChatPeer, no, wechat_listening
from tests.sandbox.conftest import Merchant, merchant_listening

BILL = (Path(__file__).parent / "samples/wechat/tradebill.csv").read_bytes()
DAY = date(2026, 9, 21)
PAID, OTHER, BACK = "4200002026092100000000000001", "4200002026092100000000000002", "50300002026092100000000000001"


def seen(line: StatementLine) -> tuple[Any, ...]:
    return (line.line_id, line.kind, line.our_ref, line.refund_ref, line.gross_minor, line.fee_minor, line.net_minor)


def lines_of(file: bytes) -> list[StatementLine]:
    return list(bill_lines(io.BytesIO(file), MCHID))


def test_each_movement_is_a_line_and_a_coupon_is_one_besides() -> None:
    lines = lines_of(BILL)

    assert [seen(line) for line in lines] == [
        (PAID, LineKind.PAYMENT, "TB-7-1", None, 1250, -6, 1244),
        (f"{PAID}/coupon", LineKind.ADJUSTMENT, "TB-7-1", None, -250, 0, -250),
        (OTHER, LineKind.PAYMENT, "TB-8-1", None, 990, -6, 984),
        (BACK, LineKind.REFUND, "TB-7-1", "TB-7-1-R1", -30, 0, -30),
        (f"{BACK}/coupon", LineKind.ADJUSTMENT, "TB-7-1", "TB-7-1-R1", 6, 0, 6),
    ]
    assert {(line.channel, line.currency) for line in lines} == {("wechat", "CNY")}
    assert [line.channel_ref for line in lines] == [PAID, PAID, OTHER, PAID, PAID]
    assert lines[0].occurred_at_us == NOW_US
    assert lines[0].raw.startswith("2026-09-21 22:13:20,`wxd678efh567hg6787,`1900000001,")
    assert "`通宝, 一门课,`" in lines[0].raw
    assert not any("oUpF8" in line.raw for line in lines), "who paid is not kept"
    assert lines_of(BILL) == lines


def test_columns_are_found_by_name_whatever_their_order_and_brackets() -> None:
    text = BILL.decode("utf-8-sig")
    header, *rows = text.split("\r\n")
    names = header.split(",")
    turned = [",".join(["新列（元）", *reversed(names)])]
    for row in rows[:3]:
        cells = row.removeprefix("`").split(",`")
        turned.append(",".join(f"`{cell}" for cell in ["7", *reversed(cells)]))
    file = "\n".join([*turned, *rows[3:]]).encode()

    assert [seen(line) for line in lines_of(file)] == [seen(line) for line in lines_of(BILL)]


def test_movement_that_is_told_twice_has_a_number_besides() -> None:
    rows = BILL.decode().split("\r\n")
    file = "\r\n".join([*rows[:3], rows[2], *rows[3:]]).encode()

    assert [line.line_id for line in lines_of(file)] == [
        PAID, f"{PAID}/coupon", OTHER, f"{OTHER}/2", BACK, f"{BACK}/coupon",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("总交易单数", "总数"),
        ("`SUCCESS,`OTHERS", "`SOMEDAY,`OTHERS"),
        ("`CNY,`10.00", "`USD,`10.00"),
        ("`12.50,`0.00", "`12.505,`0.00"),
        ("`12.50,`0.00", "`12,50,`0.00"),
        ("`12.50,`0.00", "`1.25e1,`0.00"),
        ("`0.06000", "`0.06001"),
        ("2026-09-21 22:13:20", "21.09.2026 22:13"),
        (f"`{PAID},`TB-7-1,", "`,`TB-7-1,"),
        ("订单金额,申请退款金额", "金额,申请退款金额"),
        ("`NATIVE,`SUCCESS", "`NATIVE,`extra,`SUCCESS"),
        ("`1900000001", "`1900000002"),
    ],
)
def test_bill_that_makes_no_sense_or_is_anothers_is_refused_whole(old: str, new: str) -> None:
    text = BILL.decode()
    assert old in text

    with pytest.raises(StatementRefused):
        lines_of(text.replace(old, new).encode())


@pytest.mark.parametrize("file", [b"", b"\xff\xfe", BILL[:400], BILL.partition("总".encode())[0], b"<html></html>"])
def test_file_without_its_end_is_refused(file: bytes) -> None:
    with pytest.raises(StatementRefused):
        lines_of(file)


@pytest.mark.parametrize(
    ("yuan", "exact"),
    [
        ("0", 0), ("0.0", 0), ("0.00", 0), ("0.01", 1), ("0.1", 10), ("9.90", 990), ("12", 1200), ("-0.06000", -6),
        ("0.01000", 1), ("999999999999.99", 99_999_999_999_999),
    ],
)  # fmt: skip
def test_each_notation_of_yuan_is_exact(yuan: str, exact: int) -> None:
    assert fen(yuan) == exact


@pytest.mark.parametrize(
    "yuan", ["", "0.001", "0.00600", "1.234", "1e2", "+1", " 1", "1 ", "1.", ".5", "1,000.00", "１", "¥1", "--1", "NaN"]
)
def test_what_is_no_exact_fen_is_refused(yuan: str) -> None:
    with pytest.raises(ValueError, match="no exact amount"):
        fen(yuan)


def test_digest_is_of_the_file_and_of_the_kind_that_was_signed_for() -> None:
    digest, other = hashlib.sha1(BILL).hexdigest(), hashlib.sha1(BILL + b"\n").hexdigest()

    demand_whole(Bill(io.BytesIO(BILL), digest), "SHA1", digest)
    demand_whole(Bill(io.BytesIO(BILL), digest), "SHA1", digest.upper())
    for found, kind, told in [(other, "SHA1", digest), (digest, "MD5", digest), (digest, "SHA1", digest[:-1]),
                              (digest, "SHA1", "数" * 40)]:  # fmt: skip
        with pytest.raises(StatementRefused, match="not the file"):
            demand_whole(Bill(io.BytesIO(BILL), found), kind, told)


# ---- loaded from the provider ------------------------------------------------------------------------------------


@pytest.fixture
async def merchant() -> AsyncIterator[Merchant]:
    async with merchant_listening() as listening:
        yield listening


@pytest.fixture
async def peer() -> AsyncIterator[WeChatPeer]:
    async with wechat_listening(lambda: NOW_US / 10**6) as listening:
        yield listening


@pytest.fixture
async def channel(peer: WeChatPeer, merchant: Merchant) -> AsyncIterator[WeChatChannel]:
    made = wechat_channel(peer, notice_url=merchant.url)
    yield made
    await made.aclose()


async def loaded(channel: WeChatChannel, day: date = DAY) -> list[StatementLine]:
    return [line async for line in channel.statement(day)]


async def test_days_bill_is_the_providers_own_account(peer: WeChatPeer, channel: WeChatChannel) -> None:
    asked = attempt(channel="wechat", amount=Money(1250, "CNY"))
    peer.gives_coupon = 250
    await channel.create(asked)
    await peer.buyer_pays(asked.key)
    refunded = await channel.refund(asked, refund_of(asked, 1250))

    lines = await loaded(channel)

    movement = (await channel.query(asked)).movement_ref
    assert [seen(line) for line in lines] == [
        (movement, LineKind.PAYMENT, "TB-7-1", None, 1250, -8, 1242),
        (f"{movement}/coupon", LineKind.ADJUSTMENT, "TB-7-1", None, -250, 0, -250),
        (refunded.movement_ref, LineKind.REFUND, "TB-7-1", "TB-7-1-R1", -1250, 8, -1242),
    ]
    assert await loaded(channel) == lines
    assert [flow for flow, _, _ in peer.seen[-2:]] == ["bill", "file"]


async def test_day_without_a_movement_has_no_line(channel: WeChatChannel) -> None:
    assert await loaded(channel, date(2026, 9, 20)) == []


@pytest.mark.parametrize(
    "fault", ["unsigned", "bad_signature", "stale", "html", "truncated", "error_500", "drop_after"]
)
async def test_bill_that_is_not_provably_wechats_is_refused(
    peer: WeChatPeer, channel: WeChatChannel, fault: str
) -> None:
    peer.trades["TB-7-1"] = paid_trade()
    peer.faults = [("bill", fault)]

    with pytest.raises(StatementRefused):
        await loaded(channel)
    assert len(await loaded(channel)) == 1


@pytest.mark.parametrize("fault", ["html", "truncated", "error_500", "drop_after"])
async def test_file_that_does_not_come_whole_is_refused(peer: WeChatPeer, channel: WeChatChannel, fault: str) -> None:
    peer.trades["TB-7-1"] = paid_trade()
    peer.faults = [("file", fault)]

    with pytest.raises(StatementRefused):
        await loaded(channel)
    assert len(await loaded(channel)) == 1


@pytest.mark.parametrize("url", [
    "http://bill.test/file", "ftp://bill.test/file", "https://", "file:///etc/passwd", 7, "https://bill.test/file",
    "https://api.mch.weixin.qq.com.bill.test/file", "https://api.mch.weixin.qq.com@bill.test/file",
    "http://api.mch.weixin.qq.com/file", "https://api.mch.weixin.qq.com:8443/file", "https://qq.com/file",
    "https://me:too@api.mch.weixin.qq.com/file", "http://127.0.0.1:9/file", "https://[",
])  # fmt: skip
async def test_bill_is_asked_for_at_wechats_own_address_alone(peer: WeChatPeer, url: Any) -> None:
    signed = Reply(200, {"hash_type": "SHA1", "hash_value": "0" * 40, "download_url": url})
    seen_urls: list[str] = []

    def provider(request: httpx.Request) -> httpx.Response:
        seen_urls.append(str(request.url))
        return httpx.Response(200, content=signed.body, headers=peer.signature_headers(signed.body))

    channel = wechat_channel(peer, client=httpx.AsyncClient(transport=httpx.MockTransport(provider)))

    with pytest.raises(StatementRefused):
        await loaded(channel)
    assert len(seen_urls) == 1


@pytest.mark.parametrize("at", ["https://api.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com", ""])
async def test_signed_call_for_the_file_goes_where_wechat_says_and_no_further(peer: WeChatPeer, at: str) -> None:
    """To its own hosts, or to the gateway that is set; a redirect from there is not followed."""
    url = f"{at or peer.url}/v3/billdownload/file?token=x"
    signed = Reply(200, {"hash_type": "SHA1", "hash_value": hashlib.sha1(BILL).hexdigest(), "download_url": url})
    asked: list[httpx.Request] = []
    redirects = False

    def provider(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if "billdownload" not in str(request.url):
            return httpx.Response(200, content=signed.body, headers=peer.signature_headers(signed.body))
        if redirects:
            return httpx.Response(302, headers={"Location": "https://bill.test/file"})
        return httpx.Response(200, content=BILL)

    channel = wechat_channel(peer, client=httpx.AsyncClient(transport=httpx.MockTransport(provider)))

    assert await loaded(channel) == lines_of(BILL)
    assert [str(one.url) for one in asked[1:]] == [url]
    assert asked[1].headers["authorization"].startswith("WECHATPAY2-SHA256-RSA2048 mchid=")
    redirects = True
    with pytest.raises(StatementRefused, match="302"):
        await loaded(channel)
    assert [one.url.host for one in asked[2:]] == [asked[0].url.host, asked[1].url.host]


async def test_bill_that_is_still_being_made_says_when_to_come_back(peer: WeChatPeer) -> None:
    making = no(400, "STATEMENT_CREATING")

    def provider(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, content=making.body, headers=peer.signature_headers(making.body))

    channel = wechat_channel(peer, client=httpx.AsyncClient(transport=httpx.MockTransport(provider)))

    with pytest.raises(StatementRefused, match=r"STATEMENT_CREATING.*after 10:00"):
        await loaded(channel)


def paid_trade() -> dict[str, Any]:
    return {
        "out_trade_no": "TB-7-1",
        "transaction_id": PAID,
        "trade_type": "NATIVE",
        "success_time": "2026-09-21T22:13:20+08:00",
        "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
        "amount": {"total": 1250, "payer_total": 1250},
    }
