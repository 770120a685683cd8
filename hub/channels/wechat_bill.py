"""WeChat Pay's bill of a day (微信支付交易账单): the file, whole or not at all, and each movement of money in it.

Every value is led by a backtick, so a title may hold commas; two lines of totals end the file; amounts are yuan.
"""

import hmac
import re
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import IO

from hub.channels.bill_files import Bill, Numbering, given, lines_in
from hub.channels.wechat_gateway import Gateway
from hub.channels.wechat_words import CODE, CURRENCY, EPOCH, json_of, text_of
from hub.domain.payments import Result
from hub.domain.statements import LineKind, StatementLine
from hub.ports import StatementRefused

CHINA = timezone(timedelta(hours=8))  # Asia/Shanghai, which has known no other time since 1991
BILL_LIMIT = 512 * 1024 * 1024  # bytes: more than a million movements, in a file until the digest is right
TOTALS = "总交易单数"  # how the first of the two last lines begins
PRIVATE = frozenset({"用户标识"})  # columns that say who paid: not kept
TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
YUAN = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,2})0*)?")  # a sub-fen is refused, never rounded
HALF_WIDTH = str.maketrans({"（": "(", "）": ")"})
# A row's state → what moved. A revoked trade was paid, and its money went back.
KINDS = {"SUCCESS": LineKind.PAYMENT, "REFUND": LineKind.REFUND, "REVOKED": LineKind.REFUND}

Row = Mapping[str, str]


async def lines_of_day(gateway: Gateway, day: date) -> AsyncIterator[StatementLine]:
    """The movements of one of China's days, from 10 o'clock of the next. Raises StatementRefused."""
    heard = await gateway.ask("query", "GET", f"/v3/bill/tradebill?bill_date={day.isoformat()}&bill_type=ALL")
    if isinstance(heard, Result):
        if heard.code == "NO_STATEMENT_EXIST":  # a day without a movement
            return
        raise StatementRefused(f"WeChat gives no bill of {day} ({heard.code}): it is there after 10:00 of the next")
    try:
        place = json_of(heard.body)
        url, kind, digest = (text_of(place[name]) for name in ("download_url", "hash_type", "hash_value"))
    except (KeyError, TypeError, ValueError) as error:
        raise StatementRefused("WeChat's word on where the bill lies makes no sense") from error
    async with gateway.bill(url, BILL_LIMIT) as bill:
        demand_whole(bill, kind, digest)
        async for line in given(lambda: bill_lines(bill.file, gateway.merchant.mchid)):
            yield line


def demand_whole(bill: Bill, kind: str, digest: str) -> None:
    """The file comes unsigned: it is the bill if it has the digest that WeChat signed. Raises StatementRefused."""
    if kind != "SHA1" or not hmac.compare_digest(bill.sha1.encode(), digest.lower().encode()):
        raise StatementRefused("the bill is not the file that WeChat signed for: ask again")


def bill_lines(file: IO[bytes], mchid: str) -> Iterator[StatementLine]:
    """The movements in a bill, in its order. Raises StatementRefused when it is none, or another merchant's.

    The order's own amount is the gross of a payment, what was asked back that of a refund. Where a coupon of the
    merchant's own makes the settled amount another, the difference is a line ADJUSTMENT.
    """
    try:
        with closing(Numbering()) as seen:
            for row in _rows(file):
                if row["商户号"] != mchid:
                    raise StatementRefused("the bill is another merchant's")
                for line in _lines(row):
                    number = seen.number(line.line_id)
                    yield line if number == 1 else replace(line, line_id=f"{line.line_id}/{number}")
    except (KeyError, ValueError) as error:
        raise StatementRefused("the bill is not one of WeChat Pay's") from error


def _rows(file: IO[bytes]) -> Iterator[Row]:
    """Each movement's values by their columns' names; the file's two last lines are none."""
    file.seek(0)
    texts = (line.decode().strip("\r\n") for line in lines_in(file))
    names = [name.strip() for name in next(texts, "").removeprefix("\ufeff").translate(HALF_WIDTH).split(",")]
    last: deque[str] = deque()
    for text in texts:
        if text:
            last.append(text)
        if len(last) > 2:
            yield dict(zip(names, last.popleft().removeprefix("`").split(",`"), strict=True))
    if len(last) < 2 or not last[0].startswith(TOTALS):
        raise ValueError("the bill has no end")


def _lines(row: Row) -> Iterator[StatementLine]:
    kind = KINDS[row["交易状态"]]
    is_payment = kind is LineKind.PAYMENT
    line_id = row["微信订单号"] if is_payment else row["微信退款单号"]
    if not line_id or row["货币种类"] != CURRENCY:
        raise ValueError("a movement without its id, or of another currency")
    if is_payment:
        gross, settled = fen(row["订单金额"]), fen(row["应结订单金额"])
    else:
        gross, settled = -fen(row["申请退款金额"]), -fen(row["退款金额"])
    fee = -fen(row["手续费"])
    yield _line(row, line_id, kind, gross, fee)
    if settled != gross:
        yield _line(row, f"{line_id}/coupon", LineKind.ADJUSTMENT, settled - gross, 0)


def _line(row: Row, line_id: str, kind: LineKind, gross: int, fee: int) -> StatementLine:
    is_refund = KINDS[row["交易状态"]] is LineKind.REFUND
    return StatementLine(
        channel=CODE,
        line_id=line_id,
        kind=kind,
        our_ref=row["商户订单号"] or None,
        channel_ref=row["微信订单号"] or None,
        refund_ref=(row["商户退款单号"] or None) if is_refund else None,
        gross_minor=gross,
        fee_minor=fee,
        net_minor=gross + fee,
        currency=CURRENCY,
        occurred_at_us=_at_us(row["交易时间"]),
        raw=",`".join("" if name in PRIVATE else value for name, value in row.items()),
    )


def fen(yuan: str) -> int:
    """Exact fen of decimal yuan. Raises ValueError for what is no such number or has a part of a fen."""
    told = YUAN.fullmatch(yuan)
    if told is None:
        raise ValueError("no exact amount of fen")
    sign, whole, part = told.groups()
    return (-1 if sign else 1) * (int(whole) * 100 + int((part or "").ljust(2, "0")))


def _at_us(text: str) -> int:
    if TIME.fullmatch(text) is None:
        raise ValueError("no time")
    at = datetime.fromisoformat(text).replace(tzinfo=CHINA)
    return (at - EPOCH) // timedelta(microseconds=1)
