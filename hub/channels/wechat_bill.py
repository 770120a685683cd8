"""WeChat Pay's bill of a day (微信支付交易账单): the file, whole or not at all, and each movement of money in it.

Every value is led by a backtick, so a title may hold commas; two lines of totals end the file; amounts are yuan.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from itertools import chain, count

import httpx

from hub.channels.exchange import Silence
from hub.channels.wechat_gateway import Gateway
from hub.channels.wechat_words import CODE, CURRENCY, EPOCH, json_of, text_of
from hub.domain.payments import Result
from hub.domain.statements import LineKind, StatementLine
from hub.ports import StatementRefused

CHINA = timezone(timedelta(hours=8))  # Asia/Shanghai, which has known no other time since 1991
BILL_LIMIT = 32 * 1024 * 1024  # bytes: about 100,000 movements, held in memory until the digest is right
TOTALS = "总交易单数"  # how the first of the two last lines begins
YUAN = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,2})0*)?")  # a sub-fen is refused, never rounded
# A row's state → what moved. A revoked trade was paid, and its money went back.
KINDS = {"SUCCESS": LineKind.PAYMENT, "REFUND": LineKind.REFUND, "REVOKED": LineKind.REFUND}

Row = Mapping[str, str]


async def lines_of_day(gateway: Gateway, day: date) -> list[StatementLine]:
    """The movements of one of China's days, from 10 o'clock of the next. Raises StatementRefused."""
    heard = await gateway.ask("query", "GET", f"/v3/bill/tradebill?bill_date={day.isoformat()}&bill_type=ALL")
    if isinstance(heard, Result):
        if heard.code == "NO_STATEMENT_EXIST":  # a day without a movement
            return []
        raise StatementRefused(f"WeChat gives no bill of {day} ({heard.code}): it is there after 10:00 of the next")
    try:
        place = json_of(heard.body)
        url, kind, digest = (text_of(place[name]) for name in ("download_url", "hash_type", "hash_value"))
        is_safe = gateway.is_safe(url)
    except (KeyError, TypeError, ValueError, httpx.InvalidURL) as error:
        raise StatementRefused("WeChat's word on where the bill lies makes no sense") from error
    if not is_safe:
        raise StatementRefused("the bill lies at an address that is not safe to ask")
    file = await gateway.send("GET", url, limit=BILL_LIMIT)
    if isinstance(file, Silence) or file.status != 200:
        told = file.code if isinstance(file, Silence) else file.status
        raise StatementRefused(f"the bill could not be loaded ({told}): ask again")
    demand_whole(file.body, kind, digest)
    return bill_lines(file.body, gateway.merchant.mchid)


def demand_whole(file: bytes, kind: str, digest: str) -> None:
    """The file comes unsigned: it is the bill if it has the digest that WeChat signed. Raises StatementRefused."""
    found = hashlib.sha1(file, usedforsecurity=False).hexdigest()
    if kind != "SHA1" or not hmac.compare_digest(found, digest.lower()):
        raise StatementRefused("the bill is not the file that WeChat signed for: ask again")


def bill_lines(file: bytes, mchid: str) -> list[StatementLine]:
    """The movements in a bill, in its order. Raises StatementRefused when it is none, or another merchant's.

    The order's own amount is the gross of a payment, what was asked back that of a refund. Where a coupon of the
    merchant's own makes the settled amount another, the difference is a line ADJUSTMENT.
    """
    lines: dict[str, StatementLine] = {}
    try:
        for raw, row in _rows(file):
            if row["商户号"] != mchid:
                raise StatementRefused("the bill is another merchant's")
            for line in _lines(raw, row):
                id_ = _free(line.line_id, lines)
                lines[id_] = replace(line, line_id=id_)
    except (KeyError, ValueError) as error:
        raise StatementRefused("the bill is not one of WeChat Pay's") from error
    return list(lines.values())


def _free(line_id: str, taken: Mapping[str, StatementLine]) -> str:
    """WeChat's id of the movement; told once more, it has a number besides, the same whenever the file is read."""
    ids = chain([line_id], (f"{line_id}/{n}" for n in count(2)))
    return next(id_ for id_ in ids if id_ not in taken)


def _rows(file: bytes) -> Iterator[tuple[str, Row]]:
    """Each movement's row as it came, and its values by their columns' names."""
    texts = [text for text in re.split(r"\r?\n", file.decode("utf-8-sig")) if text]
    if len(texts) < 3 or not texts[-2].startswith(TOTALS):
        raise ValueError("the bill has no end")
    names = [name.strip().replace("（", "(").replace("）", ")") for name in texts[0].split(",")]
    for text in texts[1:-2]:
        raw = text.removeprefix("`")
        yield raw, dict(zip(names, raw.split(",`"), strict=True))


def _lines(raw: str, row: Row) -> Iterator[StatementLine]:
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
    yield _line(raw, row, line_id, kind, gross, fee)
    if settled != gross:
        yield _line(raw, row, f"{line_id}/coupon", LineKind.ADJUSTMENT, settled - gross, 0)


def _line(raw: str, row: Row, line_id: str, kind: LineKind, gross: int, fee: int) -> StatementLine:
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
        raw=raw,
    )


def fen(yuan: str) -> int:
    """Exact fen of decimal yuan. Raises ValueError for what is no such number or has a part of a fen."""
    told = YUAN.fullmatch(yuan)
    if told is None:
        raise ValueError("no exact amount of fen")
    sign, whole, part = told.groups()
    return (-1 if sign else 1) * (int(whole) * 100 + int((part or "").ljust(2, "0")))


def _at_us(text: str) -> int:
    at = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=CHINA)
    return (at - EPOCH) // timedelta(microseconds=1)
