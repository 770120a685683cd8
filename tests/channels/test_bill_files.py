"""Bills of any length: bounded on their way and in memory, in a file that nobody else sees and nobody keeps."""

import gzip
import io
import os
import tempfile
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from hub.channels import alipay_bill, wechat_bill
from hub.channels.bill_files import LINE_LIMIT, Numbering, given, lines_in, loaded
from hub.channels.exchange import ANSWER_LIMIT, Answer, Silence, exchange
from hub.domain.payments import Outcome
from hub.domain.statements import StatementLine
from hub.ports import StatementRefused
from tests.channels.alipay_peer import bill_row, bill_table, zipped
from tests.channels.wechat_peer import MCHID

MOST_MEMORY = 3 * 1024 * 1024  # bytes, however long a bill is
WECHAT_BILL = (Path(__file__).parent / "samples/wechat/tradebill.csv").read_bytes()


def answering(*chunks: bytes, **headers: str) -> httpx.AsyncClient:
    """A provider that sends these, piece by piece."""

    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return httpx.AsyncClient(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, headers=headers, content=body()))
    )


# ---- on the way ------------------------------------------------------------------------------------------------------


async def test_file_has_no_name_and_goes_with_its_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with answering(b"one\n", b"two\n") as client, loaded(client, "https://bill.test/", limit=8) as bill:
        assert os.listdir(tmp_path) == []
        bill.file.seek(0)
        assert list(lines_in(bill.file)) == [b"one\n", b"two\n"]
    assert bill.file.closed


async def test_file_is_left_where_its_limit_is_passed() -> None:
    async with answering(*[b"x" * 1000] * 100) as client:
        with pytest.raises(StatementRefused, match="larger than 8000 bytes"):
            async with loaded(client, "https://bill.test/", limit=8_000):
                pass


async def test_file_that_is_packed_on_the_way_is_refused() -> None:
    async with answering(gzip.compress(b"x"), **{"Content-Encoding": "gzip"}) as client:
        with pytest.raises(StatementRefused, match="nobody asked for"):
            async with loaded(client, "https://bill.test/", limit=8_000):
                pass


def test_line_without_an_end_is_no_line() -> None:
    assert list(lines_in(io.BytesIO(b"x" * LINE_LIMIT))) == [b"x" * LINE_LIMIT]
    with pytest.raises(ValueError, match="without an end"):
        list(lines_in(io.BytesIO(b"x" * (LINE_LIMIT + 1))))


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
async def test_answer_packed_unasked_is_unpacked_up_to_the_limit(packing: str) -> None:
    pack: Callable[[bytes], bytes] = {"gzip": gzip.compress, "deflate": zlib.compress}[packing]
    most, more = pack(b"x" * ANSWER_LIMIT), pack(b"x" * (ANSWER_LIMIT + 1))
    bomb = pack(b"x" * (100 * ANSWER_LIMIT))

    answers = []
    tracemalloc.start()
    for body in (most, more, bomb, most[:-20]):
        async with answering(body, **{"Content-Encoding": packing}) as client:
            answers.append(await exchange(client, "GET", "https://provider.test/"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    first, *rest = answers
    assert isinstance(first, Answer)
    assert first.body == b"x" * ANSWER_LIMIT
    assert [one.code for one in rest if isinstance(one, Silence)] == ["AnswerTooLong"] * 2 + ["DecodingError"]
    assert peak < MOST_MEMORY


@pytest.mark.parametrize(("packing", "body"), [("br", b"x"), ("gzip, gzip", b"x"), ("gzip", b"<html>")])
async def test_answer_that_cannot_be_unpacked_is_no_answer(packing: str, body: bytes) -> None:
    async with answering(body, **{"Content-Encoding": packing}) as client:
        answer = await exchange(client, "GET", "https://provider.test/")

    assert isinstance(answer, Silence)
    assert (answer.outcome, answer.code) == (Outcome.UNKNOWN, "DecodingError")


async def test_answer_is_asked_for_unpacked() -> None:
    asked: list[httpx.Request] = []

    def provider(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(302, headers={"Location": "https://elsewhere.test/"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(provider), follow_redirects=True) as client:
        answer = await exchange(client, "GET", "https://provider.test/", headers={"X-Own": "1"})

    assert isinstance(answer, Answer)
    assert (answer.status, len(asked)) == (302, 1), "a redirect would take our signature elsewhere"
    assert (asked[0].headers["accept-encoding"], asked[0].headers["x-own"]) == ("identity", "1")


# ---- in memory -------------------------------------------------------------------------------------------------------


def alipay_file(lines: int) -> bytes:
    rows = [bill_row(f"20260921220014{n:014}", f"TB{n}_1", "交易", "2026-09-21 22:13:41", "12.50", "12.50")
            for n in range(lines)]  # fmt: skip
    return zipped(bill_table(rows))


def wechat_file(lines: int) -> bytes:
    head, row, *_, totals, sums, _ = WECHAT_BILL.split(b"\r\n")
    rows = [row.replace(b"4200002026092100000000000001", b"42000020260921%016d" % n) for n in range(lines)]
    return b"\r\n".join([head, *rows, totals, sums, b""])


READERS: dict[str, Callable[[io.BytesIO], Iterator[StatementLine]]] = {
    "alipay": lambda file: alipay_bill.bill_lines(file, "alipay"),
    "wechat": lambda file: wechat_bill.bill_lines(file, MCHID),
}
FILES = {"alipay": alipay_file, "wechat": wechat_file}


async def peak_of(name: str, lines: int) -> int:
    """The most bytes that Python holds while all lines of a bill are given, its file not counted."""
    file = io.BytesIO(FILES[name](lines))
    tracemalloc.start()
    try:
        number = 0
        async for _ in given(lambda: READERS[name](file)):
            number += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert number >= lines
    size = len(file.getvalue())
    print(f"{name}: {lines} lines, {size} bytes, a peak of {peak}")  # noqa: T201  # for who measures it by hand
    return peak


@pytest.mark.parametrize("name", ["alipay", "wechat"])
async def test_bill_of_two_thousand_lines_is_never_in_memory(name: str) -> None:
    assert await peak_of(name, 2_000) < MOST_MEMORY // 3


@pytest.mark.bench
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["alipay", "wechat"])
async def test_bill_of_two_hundred_thousand_lines_takes_as_much_memory_as_a_short_one(name: str) -> None:
    assert await peak_of(name, 200_000) < MOST_MEMORY // 3


async def test_nothing_of_a_bill_is_given_that_ends_in_nonsense() -> None:
    text = wechat_file(3).replace("总交易单数".encode(), "总数".encode())
    lines = given(lambda: wechat_bill.bill_lines(io.BytesIO(text), MCHID))

    with pytest.raises(StatementRefused):
        await anext(lines)


def test_ids_are_numbered_however_many_there_are() -> None:
    seen = Numbering()

    assert [seen.number(one) for one in ("a", "b", "a", "a", "", "b")] == [1, 1, 2, 3, 1, 2]
    assert {seen.number(str(n)) for n in range(10_000)} == {1}
    assert {seen.number(str(n)) for n in range(10_000)} == {2}
    seen.close()
