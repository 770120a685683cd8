"""The pay page's QR code, judged by what an independent encoder (`qrcode`, level L, mask 0) draws."""

import hashlib

from hub.sandbox.qr import as_svg, encode

ADDRESS = b"http://127.0.0.1:54321/pay/page_0123456789abcdef01234567?method=qr"


def test_code_equals_an_independent_encoders() -> None:
    dark = encode(ADDRESS)

    assert max(row for row, _ in dark) == 32  # version 4
    assert hashlib.sha256(repr(sorted(dark)).encode()).hexdigest() == (
        "9ecac8a3a97b92d3836235ebbfb7c86e41cf765547bacc3f70ba330601932794"
    )


def test_longest_text_is_drawn_and_one_byte_more_is_not() -> None:
    assert max(row for row, _ in encode(b"x" * 106)) == 36  # version 5, the largest that we draw
    assert encode(b"x" * 107) == frozenset()
    assert as_svg("x" * 107, "label") == ""
