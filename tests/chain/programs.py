"""Programs for the EVM by dice: they use the whole instruction set and write down what they saw, gas above all.

The same seed makes the same programs, so two machines that were given them can be compared instruction by instruction:
every value that an instruction gives goes into storage, a log or an address, and with it the gas left at that place.
"""

from collections.abc import Callable, Sequence
from random import Random

# instructions by what they take from the stack; each gives one word
ONE_IN = bytes.fromhex("1519 31353b3f 4049 545c")  # ISZERO NOT; BALANCE CALLDATALOAD EXTCODE*; BLOCK- BLOBHASH; *LOAD
TWO_IN = bytes.fromhex("0102030405060710111213141617181a1b1c1d0b0a")  # arithmetic, comparisons, shifts, EXP
THREE_IN = bytes.fromhex("0809")  # ADDMOD MULMOD
NONE_IN = bytes.fromhex("3032333436383a3d 414243444546474a48 58595a")  # the message, the block, the machine
NEVER_EQUAL = bytes.fromhex("40414244")  # BLOCKHASH COINBASE TIMESTAMP PREVRANDAO: two chains differ in them

ADD, EQ, KECCAK, ADDRESS, POP, MSTORE, MSTORE8, SSTORE, JUMPI, GAS, JUMPDEST, TSTORE, MCOPY = bytes.fromhex(
    "011420305052535 5575a5b5d5e".replace(" ", "")
)
CALLDATACOPY, CODECOPY, EXTCODECOPY, RETURNDATACOPY = bytes.fromhex("37393c3e")
LOG0, CREATE, CALL, CALLCODE, RETURN, DELEGATECALL, CREATE2, STATICCALL = bytes.fromhex("a0f0f1f2f3f4f5fa")
REVERT, INVALID, SELFDESTRUCT, STOP = bytes.fromhex("fdfeff00")
PRECOMPILES = tuple(number.to_bytes(20) for number in range(1, 0x13))  # and one after the last of them
SLOTS = 6  # few, so that programs come back to what others wrote, and clear it
MEMORY = 640  # octets that programs use by habit
FAR = 12_000  # and where they sometimes go, for memory's price


def program(dice: Random, others: Sequence[bytes], pieces: int = 12) -> bytes:
    """Runtime code; `others` are addresses that it may call, look at and endow."""
    body = b"".join(piece(dice, others) for _ in range(dice.randrange(1, pieces)))
    return body + ending(dice, others)


def piece(dice: Random, others: Sequence[bytes]) -> bytes:
    """Some instructions that leave the stack as it was."""
    chosen: Callable[[Random, Sequence[bytes]], bytes] = dice.choices(
        (write, compute, look, copy, log, call, create, hash_memory, fill, loop, transient),
        (3, 3, 2, 2, 2, 5, 1, 1, 3, 1, 1),
    )[0]
    return chosen(dice, others)


def ending(dice: Random, others: Sequence[bytes]) -> bytes:
    """How a program ends: well in most cases."""
    data = push(dice.randrange(100)) + push(dice.randrange(64))
    ends = (bytes([STOP]), data + bytes([RETURN]), data + bytes([REVERT]), bytes([INVALID]), bytes([0x0C]))
    gone = push_octets(dice.choice([*others, bytes(19) + b"\x77"])) + bytes([SELFDESTRUCT])
    return dice.choices((*ends, gone), (8, 6, 3, 1, 1, 1))[0]


# pieces


def write(dice: Random, _: Sequence[bytes]) -> bytes:
    return push(dice.choice((0, 0, 1, 1, 2, dice.getrandbits(256)))) + push(dice.randrange(SLOTS)) + bytes([SSTORE])


def compute(dice: Random, _: Sequence[bytes]) -> bytes:
    table, count = dice.choice(((ONE_IN, 1), (TWO_IN, 2), (TWO_IN, 2), (THREE_IN, 3)))
    return b"".join(number(dice) for _ in range(count)) + taken_down(dice, dice.choice(table))


def look(dice: Random, others: Sequence[bytes]) -> bytes:
    if dice.random() < 0.4:
        return push_octets(dice.choice(others)) + taken_down(dice, dice.choice(b"\x31\x3b\x3f"))
    return taken_down(dice, dice.choice(NONE_IN))


def copy(dice: Random, others: Sequence[bytes]) -> bytes:
    operation = dice.choice((CALLDATACOPY, CODECOPY, EXTCODECOPY, RETURNDATACOPY, MCOPY))
    size = dice.randrange(8) if operation == RETURNDATACOPY else dice.choice((0, 1, 32, 33, 300))
    source = 0 if operation == RETURNDATACOPY else place(dice)
    code = push(size) + push(source) + push(place(dice))
    return code + (push_octets(dice.choice(others)) if operation == EXTCODECOPY else b"") + bytes([operation])


def log(dice: Random, _: Sequence[bytes]) -> bytes:
    topics = dice.randrange(5)
    return (
        b"".join(number(dice) for _ in range(topics))
        + push(dice.choice((0, 1, 32, 70)))
        + push(place(dice))
        + bytes([LOG0 + topics])
    )


def call(dice: Random, others: Sequence[bytes]) -> bytes:
    operation = dice.choice((CALL, CALL, CALL, CALLCODE, DELEGATECALL, STATICCALL))
    callee = dice.choice([*others, *others, *PRECOMPILES, bytes(20), b"\x99" * 19 + bytes([dice.randrange(256)])])
    into, size = push(dice.choice((0, 32, 64))) + push(place(dice)), push(dice.choice((0, 4, 64, 128, 213, 384)))
    code = into + size + push(place(dice))
    if operation in (CALL, CALLCODE):
        code += push(dice.choice((0, 0, 0, 1, 10**30)))
    code += push_octets(callee)
    code += bytes([GAS]) if dice.random() < 0.6 else push(dice.choice((0, 700, 2_300, 9_000, 40_000)))
    return code + taken_down(dice, operation)


def create(dice: Random, others: Sequence[bytes]) -> bytes:
    initcode = dice.choice(
        (
            creation(program(dice, others, 3)),
            program(dice, others, 4),
            creation(b"\xef" + dice.randbytes(3)),  # EIP-3541 forbids
            push(dice.choice((24_576, 24_577, 5_000))) + push(0) + bytes([RETURN]),
            b"",
        )
    )
    code = b"".join(
        push_octets(initcode[i : i + 32].ljust(32, b"\0")) + push(i) + bytes([MSTORE])
        for i in range(0, len(initcode), 32)
    )
    operation = dice.choice((CREATE, CREATE2))
    if operation == CREATE2:
        code += push(dice.randrange(2))  # the salt: twice the same is a collision
    return code + push(len(initcode)) + push(0) + push(dice.choice((0, 0, 1))) + taken_down(dice, operation)


def hash_memory(dice: Random, _: Sequence[bytes]) -> bytes:
    return push(dice.choice((0, 1, 32, 64, 200))) + push(place(dice)) + taken_down(dice, KECCAK)


def fill(dice: Random, _: Sequence[bytes]) -> bytes:
    return number(dice) + push(place(dice)) + bytes([dice.choice((MSTORE, MSTORE, MSTORE8))])


def transient(dice: Random, _: Sequence[bytes]) -> bytes:
    return number(dice) + push(dice.randrange(SLOTS)) + bytes([TSTORE])


def loop(dice: Random, _: Sequence[bytes]) -> bytes:
    """Jumps over two bytes that would end it, or now and then to one of them; or goes round until the count is up."""
    if dice.random() < 0.5:
        return bytes.fromhex(f"600158 60{dice.choice((7, 7, 7, 6)):02x} 0157 00fe5b")
    return bytes([0x60, dice.randrange(1, 60)]) + bytes.fromhex("58 6004 01 5b 90 6001 90 03 90 81 81 57 5050")


# parts of pieces


def taken_down(dice: Random, operation: int) -> bytes:
    """The operation; its word and the gas left then go to storage, but for a word in which two chains differ."""
    if operation in NEVER_EQUAL:
        return bytes([operation, POP]) + bytes([GAS]) + push(dice.randrange(SLOTS)) + bytes([SSTORE])
    kept = push(dice.randrange(SLOTS)) + bytes([SSTORE])
    if dice.random() < 0.5:
        return bytes([operation, GAS, ADD]) + kept
    return bytes([operation]) + kept


def number(dice: Random) -> bytes:
    """Pushes a number of any size, at the edges more often than not."""
    edges = (0, 1, 2, 31, 32, 255, 256, 2**128, 2**255 - 1, 2**255, 2**256 - 1)
    return push(dice.choice((dice.choice(edges), dice.randrange(300), dice.getrandbits(256))))


def place(dice: Random) -> int:
    """Where in memory."""
    return dice.randrange(FAR) if dice.random() < 0.1 else 32 * dice.randrange(MEMORY // 32)


def push(value: int) -> bytes:
    """The shortest instruction that pushes this number."""
    size = -(-value.bit_length() // 8)
    return bytes([0x5F + size]) + value.to_bytes(size)


def push_octets(octets: bytes) -> bytes:
    """Pushes up to 32 octets, an address for instance."""
    return bytes([0x5F + len(octets)]) + octets


def creation(runtime: bytes) -> bytes:
    """Init code that deploys `runtime`, of any length."""
    return bytes.fromhex(f"61{len(runtime):04x}80600c6000396000f3") + runtime
