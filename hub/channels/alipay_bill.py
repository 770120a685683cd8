"""Alipay's business bill (业务账单) of a day: a zip of two tables in GBK, their names too, of which one has the lines.

Columns go by their names, and whatever brackets those have; a payment's row and each refund's own are a line. The zip
is not believed: what it says of its sizes is looked at before it is opened, and no more than that is unpacked.
"""

import csv
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import IO, cast

from hub.channels.alipay_wire import Nonsense, fen, key_of, moment_us
from hub.channels.alipay_words import CURRENCY
from hub.channels.bill_files import LINE_LIMIT, Numbering, lines_in
from hub.domain.statements import LineKind, StatementLine
from hub.ports import StatementRefused

BILL_LIMIT = 64 * 1024 * 1024  # bytes of the zip: more than a million lines
TABLE_LIMIT = 512 * 1024 * 1024  # bytes of a table once unpacked: a bomb is larger
FILES_LIMIT = 16  # a real zip has two
DIRECTORY_LIMIT = 16 * 1024  # bytes of the list of them, which is read at once

DETAILS, TOTALS = "业务明细", "汇总"  # in the files' names: the lines, and the sums of them
KINDS = {"交易": LineKind.PAYMENT, "退款": LineKind.REFUND}
HALF_WIDTH = str.maketrans({"（": "(", "）": ")"})
# What reading raises over bytes that are no bill, or one that was cut or changed on the way.
NO_BILL = (
    *(csv.Error, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError),
    *(KeyError, ValueError, struct.error, Nonsense),
)
PRIVATE = frozenset({"对方账户"})  # columns that say who paid: not kept
UTF8_NAME = 0x800  # a zip entry's flag
DIRECTORY_END = struct.Struct("<4s4H2LH")  # how a zip ends, by its format: signature, disks, entries, size, …
LARGE_DIRECTORY = b"PK\x06\x07"  # stands before that where the numbers are too large for it
LONGEST_COMMENT = 0xFFFF


def bill_lines(file: IO[bytes], channel: str) -> Iterator[StatementLine]:
    """The lines of a bill as it was downloaded. Raises StatementRefused."""
    try:
        _demand_small_directory(file)
        with closing(Numbering()) as seen, zipfile.ZipFile(file) as packed, _details(packed) as table:
            for row in _rows(table):
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
        raw=",".join("" if name in PRIVATE else value for name, value in row.items()),
    )
    yield line
    if given := received - gross:
        kind = LineKind.ADJUSTMENT
        yield replace(line, line_id=f"{line_id}/discount", kind=kind, gross_minor=given, fee_minor=0, net_minor=given)


def _line_id(row: Mapping[str, str], seen: Numbering) -> str:
    """A payment's number, a refund's with its request. The same twice in one file is legal, and counted."""
    request = row["退款批次号/请求号"]
    line_id = f"{row['支付宝交易号']}/{request}" if request else row["支付宝交易号"]
    number = seen.number(line_id)
    return line_id if number == 1 else f"{line_id}#{number}"


def _demand_small_directory(file: IO[bytes]) -> None:
    """A zip begins with its end: the list of what is in it is read as a whole, so its size is looked at first."""
    size = file.seek(0, os.SEEK_END)
    file.seek(-min(size, LONGEST_COMMENT + DIRECTORY_END.size + len(LARGE_DIRECTORY) + 16), os.SEEK_END)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    _, _, _, _, entries, length, _, comment = DIRECTORY_END.unpack_from(tail, max(at, 0))
    is_whole = at >= 0 and at + DIRECTORY_END.size + comment == len(tail)
    is_large = LARGE_DIRECTORY in tail[max(at - 20, 0) : max(at, 0)]
    if not is_whole or is_large or entries > FILES_LIMIT or length > DIRECTORY_LIMIT:
        raise StatementRefused("the bill is no zip of two tables")


def _details(packed: zipfile.ZipFile) -> IO[bytes]:
    """The table of the lines, unpacked as it is read: never more than it says of its size."""
    found = [entry for entry in packed.infolist() if DETAILS in _name(entry) and TOTALS not in _name(entry)]
    if len(found) != 1 or found[0].file_size > TABLE_LIMIT:
        raise StatementRefused("the bill's zip does not hold one table of lines")
    if found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise StatementRefused("the bill is packed in another way than Alipay's")  # whose unpacking has no bound
    return io.BufferedReader(cast("io.RawIOBase", packed.open(found[0])), LINE_LIMIT)


def _name(entry: zipfile.ZipInfo) -> str:
    """A name in GBK, which the format knows nothing of, and so reads as the code page of old PCs."""
    return entry.filename if entry.flag_bits & UTF8_NAME else entry.filename.encode("cp437").decode("gbk")


def _rows(table: IO[bytes]) -> Iterator[dict[str, str]]:
    """Rows by column name; every value is padded with tabs, and lines with # are remarks before and after."""
    texts = (line.decode("gbk") for line in lines_in(table))  # no character of GBK has a newline in it
    lines = (line for line in texts if line.strip() and not line.startswith("#"))
    cells = csv.reader(lines, strict=True)
    names = [name.strip().translate(HALF_WIDTH) for name in next(cells, [])]
    for values in cells:
        if len(values) < len(names):
            raise Nonsense("a line ends early")
        yield {name: value.strip() for name, value in zip(names, values, strict=False)}
