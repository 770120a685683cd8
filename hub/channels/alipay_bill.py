"""Alipay's business bill (业务账单) of a day: a zip of two tables in GBK, their names too, of which one has the lines.

Columns go by their names, and whatever brackets those have; a payment's row and each refund's own are a line.
"""

import csv
import io
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from hub.channels.alipay_wire import Nonsense, fen, key_of, moment_us
from hub.channels.alipay_words import CURRENCY
from hub.domain.statements import LineKind, StatementLine
from hub.ports import StatementRefused

BILL_LIMIT = 64 * 1024 * 1024  # bytes of the zip: more than a million lines
TABLE_LIMIT = 512 * 1024 * 1024  # bytes of a table once unpacked: a bomb is larger
FILES_LIMIT = 16  # a real zip has two

DETAILS, TOTALS = "业务明细", "汇总"  # in the files' names: the lines, and the sums of them
KINDS = {"交易": LineKind.PAYMENT, "退款": LineKind.REFUND}
HALF_WIDTH = str.maketrans({"（": "(", "）": ")"})
# What reading raises over bytes that are no bill, or one that was cut or changed on the way.
NO_BILL = (
    *(csv.Error, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError),
    *(KeyError, UnicodeError, Nonsense),
)
UTF8_NAME = 0x800  # a zip entry's flag


def bill_lines(file: bytes, channel: str) -> Iterator[StatementLine]:
    """The lines of a bill as it was downloaded. Raises StatementRefused."""
    seen: Counter[str] = Counter()
    try:
        for row in _rows(_details(file)):
            yield from _lines(row, _line_id(row, seen), channel)
    except NO_BILL as error:
        raise StatementRefused("the bill is not one of Alipay's: fetch it by hand and look") from error


def _lines(row: Mapping[str, str], line_id: str, channel: str) -> Iterator[StatementLine]:
    """A row at the order's price; what we gave as a discount, and so never got, is a line of its own."""
    gross, received, fee = fen(row["订单金额(元)"]), fen(row["商家实收(元)"]), fen(row["服务费(元)"])
    line = StatementLine(
        channel=channel,
        line_id=line_id,
        kind=KINDS.get(row["业务类型"], LineKind.ADJUSTMENT),
        our_ref=key_of(row["商户订单号"]) or None,
        channel_ref=row["支付宝交易号"] or None,
        refund_ref=row["退款批次号/请求号"] or None,
        gross_minor=gross,
        fee_minor=fee,
        net_minor=gross + fee,
        currency=CURRENCY,
        occurred_at_us=moment_us(row["完成时间"]),
        raw=",".join(row.values()),
    )
    yield line
    if given := received - gross:
        kind = LineKind.ADJUSTMENT
        yield replace(line, line_id=f"{line_id}/discount", kind=kind, gross_minor=given, fee_minor=0, net_minor=given)


def _line_id(row: Mapping[str, str], seen: Counter[str]) -> str:
    """A payment's number, a refund's with its request. The same twice in one file is legal, and counted."""
    request = row["退款批次号/请求号"]
    line_id = f"{row['支付宝交易号']}/{request}" if request else row["支付宝交易号"]
    seen[line_id] += 1
    return line_id if seen[line_id] == 1 else f"{line_id}#{seen[line_id]}"


def _details(file: bytes) -> str:
    """The table of the lines."""
    with zipfile.ZipFile(io.BytesIO(file)) as packed:
        entries = packed.infolist()
        found = [entry for entry in entries if DETAILS in _name(entry) and TOTALS not in _name(entry)]
        if len(entries) > FILES_LIMIT or len(found) != 1 or found[0].file_size > TABLE_LIMIT:
            raise StatementRefused("the bill's zip does not hold one table of lines")
        return packed.read(found[0]).decode("gbk")


def _name(entry: zipfile.ZipInfo) -> str:
    """A name in GBK, which the format knows nothing of, and so reads as the code page of old PCs."""
    return entry.filename if entry.flag_bits & UTF8_NAME else entry.filename.encode("cp437").decode("gbk")


def _rows(table: str) -> Iterator[dict[str, str]]:
    """Rows by column name; every value is padded with tabs, and lines with # are remarks before and after."""
    lines = (line for line in io.StringIO(table, newline="") if line.strip() and not line.startswith("#"))
    cells = csv.reader(lines, strict=True)
    names = [name.strip().translate(HALF_WIDTH) for name in next(cells, [])]
    for values in cells:
        if len(values) < len(names):
            raise Nonsense("a line ends early")
        yield {name: value.strip() for name, value in zip(names, values, strict=False)}
