"""A QR code as inline SVG, for the pay page: the page may load no picture from anywhere.

ISO/IEC 18004, byte mode, error correction L, versions 1 to 5 (one block each), mask 0: enough for an address of 106
bytes, and small enough to read.
"""

# Per version: (codewords of data, codewords of error correction), level L.
CODEWORDS = {1: (19, 7), 2: (34, 10), 3: (55, 15), 4: (80, 20), 5: (108, 26)}
QUIET = 4  # modules of white around, as the standard demands
FORMAT = 0b111011111000100  # level L, mask 0, with its BCH check bits and the standard's XOR pattern

Module = tuple[int, int]  # row, column


def as_svg(text: str, label: str) -> str:
    """The code of `text` as an SVG element with `label` for those who do not see it; "" when the text is too long."""
    dark = encode(text.encode())
    if not dark:
        return ""
    size = max(row for row, _ in dark) + 1 + 2 * QUIET
    path = "".join(f"M{column + QUIET} {row + QUIET}h1v1h-1z" for row, column in sorted(dark))
    return (
        f'<svg class="code" viewBox="0 0 {size} {size}" role="img" aria-label="{label}" shape-rendering="crispEdges">'
        f'<path fill="#fff" d="M0 0h{size}v{size}H0z"/><path d="{path}"/></svg>'
    )


def encode(data: bytes) -> frozenset[Module]:
    """The dark modules of the smallest code that holds `data`; none when no version does."""
    version = next((v for v, (capacity, _) in CODEWORDS.items() if len(data) <= capacity - 2), None)
    if version is None:
        return frozenset()
    size = 17 + 4 * version
    fixed = _fixed_patterns(version, size)
    dark = {module for module, is_dark in fixed.items() if is_dark}
    bits = (bit for codeword in _codewords(data, *CODEWORDS[version]) for bit in f"{codeword:08b}")
    for row, column in _data_path(size):
        if (row, column) not in fixed and (next(bits, "0") == "1") != ((row + column) % 2 == 0):
            dark.add((row, column))
    return frozenset(dark)


def _codewords(data: bytes, capacity: int, checks: int) -> bytes:
    bits = f"0100{len(data):08b}" + "".join(f"{byte:08b}" for byte in data)
    bits += "0" * min(4, capacity * 8 - len(bits))
    bits += "0" * (-len(bits) % 8)
    words = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    padding = (b"\xec\x11" * capacity)[: capacity - len(words)]
    return words + padding + _check_words(words + padding, checks)


def _check_words(words: bytes, checks: int) -> bytes:
    """The remainder of Reed-Solomon's division over GF(256), polynomial 0x11d."""
    divisor = [1]
    root = 1
    for _ in range(checks):
        shifted = [*divisor, 0]
        for at, factor in enumerate(divisor):
            shifted[at + 1] ^= _product(factor, root)
        divisor, root = shifted, _product(root, 2)
    remainder = [0] * checks
    for word in words:
        factor = word ^ remainder[0]
        remainder = [*remainder[1:], 0]
        for at in range(checks):
            remainder[at] ^= _product(divisor[at + 1], factor)
    return bytes(remainder)


def _product(a: int, b: int) -> int:
    result = 0
    while b:
        result ^= a * (b & 1)
        a, b = (a << 1) ^ (0x11D * (a >> 7)), b >> 1
    return result


def _fixed_patterns(version: int, size: int) -> dict[Module, bool]:
    """Everything but data: finders with their white border, timing, alignment, format, the one module always dark."""
    fixed: dict[Module, bool] = {}
    for top, left in ((0, 0), (0, size - 7), (size - 7, 0)):
        for row in range(-1, 8):
            for column in range(-1, 8):
                if 0 <= top + row < size and 0 <= left + column < size:
                    ring = max(abs(row - 3), abs(column - 3))
                    fixed[top + row, left + column] = ring not in (2, 4)
    for at in range(8, size - 8):
        fixed[6, at] = fixed[at, 6] = at % 2 == 0
    if version > 1:
        for row in range(-2, 3):
            for column in range(-2, 3):
                fixed[size - 7 + row, size - 7 + column] = max(abs(row), abs(column)) != 1
    beside = [(8, c) for c in (0, 1, 2, 3, 4, 5, 7, 8)] + [(r, 8) for r in (7, 5, 4, 3, 2, 1, 0)]
    apart = [(size - 1 - at, 8) for at in range(7)] + [(8, size - 8 + at) for at in range(8)]
    for at, (first, second) in enumerate(zip(beside, apart, strict=True)):
        fixed[first] = fixed[second] = bool(FORMAT >> (14 - at) & 1)
    fixed[size - 8, 8] = True
    return fixed


def _data_path(size: int) -> list[Module]:
    """The zigzag in which data is laid: two columns at a time from the right, skipping the timing column."""
    path: list[Module] = []
    is_upward = True
    for right in [*range(size - 1, 6, -2), *range(5, 0, -2)]:
        rows = range(size - 1, -1, -1) if is_upward else range(size)
        path += [(row, column) for row in rows for column in (right, right - 1)]
        is_upward = not is_upward
    return path
