"""Alipay's bill of a day as it comes: GBK in a zip with GBK names, tabs, remarks, signs, numbers that are doubled."""

import dataclasses
import io
import struct
import tracemalloc
import zipfile
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import httpx
import pytest

from hub.channels.alipay import AlipayChannel
from hub.channels.alipay_bill import bill_lines
from hub.domain.statements import LineKind, StatementLine
from hub.ports import StatementRefused
from tests.channels.alipay_peer import AlipayPeer, alipay_listening, zipped
from tests.channels.bench_alipay import at
from tests.channels.benches import Clock

SAMPLE = Path(__file__).with_name("samples") / "alipay" / "bill_details.csv"
DAY = date(2026, 9, 21)
LINE = StatementLine(
    channel="alipay",
    line_id="2026092122001400000000000001",
    kind=LineKind.PAYMENT,
    our_ref="TB-7-1",
    channel_ref="2026092122001400000000000001",
    refund_ref=None,
    gross_minor=1250,
    fee_minor=-8,
    net_minor=1242,
    currency="CNY",
    occurred_at_us=1_790_000_021_000_000,
    raw="",
)


@pytest.fixture
async def peer() -> AsyncIterator[AlipayPeer]:
    async with alipay_listening(lambda: 1_790_000_000 + 86_400.0) as standing:
        yield standing


@pytest.fixture
async def channel(peer: AlipayPeer) -> AsyncIterator[AlipayChannel]:
    made = at(peer.url, clock=Clock((1_790_000_000 + 86_400) * 1_000_000))
    yield made
    await made.aclose()


def lines_of(file: bytes) -> list[StatementLine]:
    return list(bill_lines(io.BytesIO(file), "alipay"))


def without_raw(lines: list[StatementLine]) -> list[StatementLine]:
    return [dataclasses.replace(line, raw="") for line in lines]


def test_05_21_the_recorded_bill_reads_the_same_twice_over() -> None:
    file = zipped(SAMPLE.read_bytes())

    lines = lines_of(file)

    assert lines == lines_of(file)
    discounted = dataclasses.replace(
        LINE,
        line_id="2026092122001400000000000002",
        channel_ref="2026092122001400000000000002",
        our_ref="TB-9-2",
        gross_minor=10_000,
        fee_minor=-57,
        net_minor=9_943,
        occurred_at_us=1_790_001_000_000_000,
    )
    refund = dataclasses.replace(LINE, kind=LineKind.REFUND, occurred_at_us=1_790_000_401_000_000)
    assert without_raw(lines) == [
        LINE,
        dataclasses.replace(
            refund,
            line_id=f"{LINE.line_id}/TB-7-1-R1",
            refund_ref="TB-7-1-R1",
            gross_minor=-30,
            fee_minor=0,
            net_minor=-30,
        ),
        dataclasses.replace(
            refund,
            line_id=f"{LINE.line_id}/TB-7-1-R2",
            refund_ref="TB-7-1-R2",
            gross_minor=-1220,
            fee_minor=7,
            net_minor=-1213,
        ),
        discounted,
        dataclasses.replace(
            discounted,
            line_id=f"{discounted.line_id}/discount",
            kind=LineKind.ADJUSTMENT,
            gross_minor=-1_000,
            fee_minor=0,
            net_minor=-1_000,
        ),
        dataclasses.replace(
            LINE,
            line_id="2026092122001400000000000003",
            kind=LineKind.ADJUSTMENT,
            channel_ref="2026092122001400000000000003",
            our_ref=None,
            gross_minor=5,
            fee_minor=0,
            net_minor=5,
            occurred_at_us=1_790_001_000_000_000,
        ),
        dataclasses.replace(LINE, line_id=f"{LINE.line_id}#2"),
    ]
    assert len({line.line_id for line in lines}) == len(lines)
    assert all(line.net_minor == line.gross_minor + line.fee_minor for line in lines)
    assert all("张" not in line.raw for line in lines), "who paid is not kept"
    assert lines[0].raw.startswith("2026092122001400000000000001,TB_7_1,交易,课程, 第一讲,2026-09-21 22:13:25")


def test_columns_go_by_name_whatever_their_order_brackets_and_company() -> None:
    head = (
        "新列,备注,服务费(元),商家实收(元),订单金额（元）,退款批次号/请求号,完成时间,业务类型,商户订单号,支付宝交易号"
    )
    row = 'x,,-0.08,12.50,12.50,,2026-09-21 22:13:41,交易,"TB_7_1\t",2026092122001400000000000001\t'

    lines = lines_of(zipped(f"#一\r\n{head}\r\n{row}\r\n#二\r\n".encode("gbk")))

    assert without_raw(lines) == [LINE]


def test_names_in_utf8_are_read_too() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("1_20260921_业务明细(汇总).csv", "#")
        archive.writestr("1_20260921_业务明细.csv", SAMPLE.read_bytes())

    assert lines_of(packed.getvalue()) == lines_of(zipped(SAMPLE.read_bytes()))


@pytest.mark.parametrize(
    "spoil",
    [
        "no zip",
        "cut",
        "a byte",
        "no details",
        "utf-8",
        "a character",
        "no column",
        "short row",
        "amount",
        "time",
        "open quote",
        "many",
    ],
)
def test_05_21_what_is_no_bill_is_refused(spoil: str) -> None:
    text = SAMPLE.read_bytes().decode("gbk")
    good = zipped(SAMPLE.read_bytes())
    file = {
        "no zip": b"<html>",
        "cut": good[:-200],
        "a byte": good[:300] + bytes([good[300] ^ 1]) + good[301:],
        "no details": zipped(SAMPLE.read_bytes(), name="账务明细"),
        "utf-8": zipped(text.encode()),
        "a character": zipped(SAMPLE.read_bytes().replace("第一讲".encode("gbk"), b"\xff\xff")),
        "no column": zipped(text.replace("服务费", "服务").encode("gbk")),
        "short row": zipped(text.replace(",,0.00,0.00,,", ",").encode("gbk")),
        "amount": zipped(text.replace("100.00", "1e2").encode("gbk")),
        "time": zipped(text.replace("22:13:41", "25:13:41").encode("gbk")),
        "open quote": zipped(text.replace('第一讲"', "第一讲").encode("gbk")),
        "many": _many(),
    }[spoil]

    with pytest.raises(StatementRefused):
        lines_of(file)


def _many() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for n in range(17):
            archive.writestr(f"{n}_业务明细.csv" if n == 0 else f"{n}", SAMPLE.read_bytes())
    return packed.getvalue()


# ---- fetching it -----------------------------------------------------------------------------------------------------


async def fetched(channel: AlipayChannel, day: date = DAY) -> list[StatementLine]:
    return [line async for line in channel.statement(day)]


async def test_a_day_is_fetched_from_where_alipay_says(peer: AlipayPeer, channel: AlipayChannel) -> None:
    peer.bills["2026-09-21"] = zipped(SAMPLE.read_bytes())

    assert await fetched(channel) == lines_of(zipped(SAMPLE.read_bytes()))
    assert peer.seen == [("bill", {"bill_type": "trade", "bill_date": "2026-09-21"})]


async def test_no_bill_is_an_empty_day_once_it_is_due_and_before_that_unknown(peer: AlipayPeer) -> None:
    day_ends_s = 1_790_006_400  # midnight in China
    early, late = (
        at(peer.url, clock=Clock((day_ends_s + hours * 3600) * 1_000_000 - before))
        for hours, before in ((10, 1), (10, 0))
    )
    peer.faults += [("bill", "says isp.bill_not_exist")] * 2

    with pytest.raises(StatementRefused, match=r"isp\.bill_not_exist.*after 10:00"):
        await fetched(early)
    assert await fetched(late) == []
    for channel in (early, late):
        await channel.aclose()


@pytest.mark.parametrize(
    "fault", ["bad_signature", "unsigned", "html", "drop_before", "500", "says 40002", "says 20000"]
)
async def test_no_believable_word_is_no_bill(peer: AlipayPeer, channel: AlipayChannel, fault: str) -> None:
    peer.faults.append(("bill", fault))

    with pytest.raises(StatementRefused):
        await fetched(channel)


async def test_a_bill_is_not_fetched_in_the_clear(peer: AlipayPeer, channel: AlipayChannel) -> None:
    peer.url = "http://bills.test/gateway.do"

    with pytest.raises(StatementRefused, match="https"):
        await fetched(channel)


async def test_a_bill_that_cannot_be_fetched_is_refused(peer: AlipayPeer, channel: AlipayChannel) -> None:
    peer.faults += [("file", "drop"), ("file", "500")]

    with pytest.raises(StatementRefused, match=httpx.RemoteProtocolError.__name__):
        await fetched(channel)
    with pytest.raises(StatementRefused, match="500"):
        await fetched(channel)


@pytest.mark.parametrize("at", ["http://127.0.0.1:9", "https://alipay.com.bills.test", "https://notalipay.com"])
async def test_a_bill_is_fetched_from_nobody_but_alipay(peer: AlipayPeer, channel: AlipayChannel, at: str) -> None:
    peer.url = f"{at}/gateway.do"

    with pytest.raises(StatementRefused, match="no https address of the provider's"):
        await fetched(channel)


# ---- packed to do harm -----------------------------------------------------------------------------------------------

HEAD = SAMPLE.read_bytes().partition(b"2026")[0]


def packed(details: bytes, *, kind: int = zipfile.ZIP_DEFLATED, entries: int = 1) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr("1_20260921_业务明细.csv", details)
        for n in range(entries - 1):
            archive.writestr(f"{n}", b"")
    return file.getvalue()


def saying(file: bytes, size: int) -> bytes:
    """The same zip, with another size of what is in it told in both places."""
    told, true = struct.pack("<L", size), struct.pack("<L", zipfile.ZipFile(io.BytesIO(file)).infolist()[0].file_size)
    assert file.count(true) >= 2
    return file.replace(true, told)


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("too much", "does not hold one table"),
        ("a line without an end", "not one of Alipay's"),
        ("more than it says", "not one of Alipay's"),
        ("another packing", "another way"),
        ("many files", "no zip of two tables"),
        ("a large directory", "no zip of two tables"),
        ("nothing", "not one of Alipay's"),
    ],
)
def test_a_bomb_is_refused_before_it_takes_any_memory(what: str, why: str) -> None:
    lots = 8 * 1024 * 1024  # bytes: a thousandth of that once packed
    small = packed(HEAD)
    end = small[-22:]
    file = {
        "too much": lambda: saying(packed(HEAD + b"a" * lots), 0x20000001),
        "a line without an end": lambda: packed(HEAD + b"a" * lots),
        "more than it says": lambda: saying(packed(SAMPLE.read_bytes()), len(HEAD) + 40),
        "another packing": lambda: packed(HEAD + b"a" * lots, kind=zipfile.ZIP_LZMA),
        "many files": lambda: packed(HEAD, entries=5_000),
        "a large directory": lambda: small[:-22] + b"PK\x06\x07" + bytes(16) + end,
        "nothing": lambda: b"",
    }[what]()
    assert len(file) < 3 * 1024 * 1024

    tracemalloc.start()
    try:
        with pytest.raises(StatementRefused, match=why):
            lines_of(file)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - len(file) < 2 * 1024 * 1024
