"""The same raw transactions on our node and on anvil, another people's EVM: what is mined must be the same on both.

Each transaction goes to both and is a block of its own on both; receipts, the roots of the blocks' receipts and the
accounts are compared whole, so a wrong unit of gas anywhere shows.
"""

import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keys.constants import SECPK1_N
from eth_utils.address import to_checksum_address
from rlp import decode, encode  # type: ignore[import-untyped]  # rlp ships no types for what is used here

from tests.chain.nodes import (
    CHAIN_ID,
    ENDLESS,
    GWEI,
    LOGGER,
    REVERTS_WITH_INPUT,
    SENDERS,
    TWO_COUNTERS,
    Node,
    Peer,
    Refused,
    anvil_running,
    running,
    signed,
)
from tests.chain.programs import PRECOMPILES, SLOTS, creation, program, push

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first test waits for the packages too

MINED_WITHIN_S = 20.0
FRESH = Account.from_key(b"\x77" * 32)  # on neither chain when they begin
NEVER_EQUAL = {"blockHash", "logsBloom", "blobGasPrice", "blockTimestamp", "logs"}  # logs are compared, but for theirs
# calls the address in the first word with the rest of the input; logs whether that went well, and the answer
RELAY = bytes.fromhex("6020360360205f37 5f5f602036035f5f35620aae60fa 3d5f5f3e 3d5fa100")
STORES_GAS = bytes.fromhex("5a5f55")  # slot 0 becomes the gas that is left
HISTORY = "0x0000F90827F1C53a10cb7A02335B175320002935"  # EIP-2935
ALICE, BOB, CAROL, DAVE = SENDERS[:4]


class Pair:
    """Both nodes, begun with the same accounts, chain id, gas limit and fee."""

    def __init__(self, ours: Node, theirs: Peer) -> None:
        self.ours = ours
        self.theirs = theirs
        history = ours.rpc("eth_feeHistory", "0x1", "latest")
        theirs.rpc("anvil_setNextBlockBaseFeePerGas", history["baseFeePerGas"][1])

    def mined(self, raw: str) -> dict[str, Any]:
        """Our receipt; AssertionError where theirs is another."""
        ours, theirs = self.ours.mined(raw), receipt_of(self.theirs, self.theirs.send(raw))
        assert plain(ours) == plain(theirs)
        for root in ("receiptsRoot", "transactionsRoot", "gasUsed", "baseFeePerGas"):
            one, other = (node.rpc("eth_getBlockByNumber", ours["blockNumber"], False)[root] for node in self.nodes)
            assert one == other, root
        return ours

    @property
    def nodes(self) -> tuple[Peer, Peer]:
        return self.ours, self.theirs

    def sent(self, account: LocalAccount, **fields: Any) -> dict[str, Any]:
        """As `mined`, of a transaction that this account signs now."""
        return self.mined(signed(account, self.ours.nonce(account), **fields))

    def deploy(self, runtime: bytes) -> str:
        """The address of a new contract, the same on both."""
        address: str = self.sent(ALICE, to=None, data=creation(runtime), gas=2_000_000)["contractAddress"]
        return address

    def check_account(self, address: str) -> None:
        """Balance, nonce, code and the storage that our programs use are the same on both."""
        for method in ("eth_getBalance", "eth_getTransactionCount", "eth_getCode"):
            one, other = (node.rpc(method, address, "latest") for node in self.nodes)
            assert one == other, (method, address)
        for slot in range(SLOTS):
            one, other = (node.rpc("eth_getStorageAt", address, hex(slot), "latest") for node in self.nodes)
            assert one == other, (slot, address)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with anvil_running() as theirs, running(tmp_path_factory.mktemp("chain")) as ours:
        yield Pair(ours, theirs)


def receipt_of(node: Peer, tx_hash: str) -> dict[str, Any]:
    """The receipt as soon as it is there: anvil answers a send before it mines."""
    deadline = time.monotonic() + MINED_WITHIN_S
    while time.monotonic() < deadline:
        receipt: dict[str, Any] | None = node.rpc("eth_getTransactionReceipt", tx_hash)
        if receipt is not None:
            return receipt
        time.sleep(0.001)
    raise AssertionError(f"{tx_hash} was never mined")


def plain(receipt: dict[str, Any]) -> dict[str, Any]:
    """What two chains must agree on, in small letters."""
    kept = {name: value for name, value in receipt.items() if name not in NEVER_EQUAL}
    logs = [
        (log["address"].lower(), log["topics"], log["data"], log["logIndex"], log["transactionIndex"])
        for log in receipt["logs"]
    ]
    return {name: value.lower() if isinstance(value, str) else value for name, value in kept.items()} | {"logs": logs}


# what has a name


def test_transfers_cost_21000_whatever_their_type_and_recipient(pair: Pair) -> None:
    for fields in (
        {"gasPrice": 3 * GWEI},
        {"gasPrice": 3 * GWEI, "type": 1, "accessList": []},
        {"value": 5},
        {"to": BOB.address, "value": 5},
        {"to": "0x" + "00" * 19 + "04"},  # a built-in contract
    ):
        receipt = pair.sent(BOB, gas=100_000, **fields)
        assert (receipt["status"], int(receipt["gasUsed"], 16) // 1_000) == ("0x1", 21)


@pytest.mark.parametrize(
    ("initcode", "status"),
    [
        (creation(TWO_COUNTERS), "0x1"),
        (b"", "0x1"),
        (creation(b""), "0x1"),
        (b"\xfd", "0x0"),
        (b"\xfe", "0x0"),
        (creation(b"\xef\x00"), "0x0"),  # EIP-3541
        (push(24_576) + push(0) + b"\xf3", "0x1"),  # EIP-170's last
        (push(24_577) + push(0) + b"\xf3", "0x0"),
        (bytes(49_152), "0x1"),  # EIP-3860's last
    ],
)
def test_creations_end_alike(pair: Pair, initcode: bytes, status: str) -> None:
    receipt = pair.sent(CAROL, to=None, data=initcode, gas=6_000_000)
    assert (receipt["status"], receipt["to"]) == (status, None)
    pair.check_account(receipt["contractAddress"])


def test_reverts_and_ends_of_gas_cost_the_same(pair: Pair) -> None:
    reverts, endless, counters = (pair.deploy(code) for code in (REVERTS_WITH_INPUT, ENDLESS, TWO_COUNTERS))
    assert pair.sent(BOB, to=reverts, value=5, data=b"NO")["status"] == "0x0"
    assert pair.sent(BOB, to=endless, gas=90_000)["gasUsed"] == hex(90_000)
    least = int(pair.ours.rpc("eth_estimateGas", {"from": BOB.address, "to": counters, "data": "0x01"}), 16)
    assert [pair.sent(BOB, to=counters, data=b"\1", gas=least - less)["status"] for less in (1, 0)] == ["0x0", "0x1"]


def test_refunds_are_capped_alike_and_the_floor_of_the_data_stands_above_them(pair: Pair) -> None:
    keeper = pair.deploy(bytes.fromhex("3615805f55806001558060025560035500"))  # four slots: 1 without data, 0 with
    for data, expected in ((b"\1", None), (b"\0" * 400, None), (b"\1" * 1_000, 61_000)):
        pair.sent(BOB, to=keeper, gas=150_000)
        receipt = pair.sent(BOB, to=keeper, data=data, gas=150_000)
        assert expected is None or int(receipt["gasUsed"], 16) == expected


def test_gas_at_the_floor_of_the_data_is_enough(pair: Pair) -> None:
    assert pair.sent(BOB, data=b"\1" * 1_000, gas=61_000)["gasUsed"] == hex(61_000)
    assert pair.sent(BOB, data=b"\0" * 1_000, gas=31_000)["gasUsed"] == hex(31_000)


def test_access_lists_warm_what_they_name_once(pair: Pair) -> None:
    counters = pair.deploy(TWO_COUNTERS)
    slots = ["0x" + number.to_bytes(32).hex() for number in (0, 1, 1, 9)]
    for entries in (
        [{"address": to_checksum_address(counters), "storageKeys": slots[:2]}],
        [{"address": to_checksum_address(counters), "storageKeys": slots}] * 2,
        [{"address": DAVE.address, "storageKeys": slots}],
    ):
        assert pair.sent(BOB, to=counters, data=b"\1", gas=200_000, accessList=entries)["status"] == "0x1"


def test_logs_are_numbered_and_filtered_alike(pair: Pair) -> None:
    logger = pair.deploy(LOGGER)
    for number in (1, 2):
        pair.sent(BOB, to=logger, data=number.to_bytes(32) + bytes(32))
    for criteria in ({}, {"topics": ["0x" + (2).to_bytes(32).hex()]}, {"topics": [None, "0x" + "00" * 32]}):
        answers = [node.rpc("eth_getLogs", {"fromBlock": "0x1", "address": logger, **criteria}) for node in pair.nodes]
        one, other = ([(log["topics"], log["logIndex"], log["blockNumber"]) for log in logs] for logs in answers)
        assert one == other != []


def test_the_system_contract_of_block_hashes_is_the_same_and_costs_the_same(pair: Pair) -> None:
    one, other = (node.rpc("eth_getCode", HISTORY, "latest") for node in pair.nodes)
    assert one == other != "0x"
    pair.sent(BOB)
    newest = int(pair.ours.rpc("eth_blockNumber"), 16)
    for number in (newest, newest - 1, 0, newest + 50):
        pair.sent(BOB, to=HISTORY, data=number.to_bytes(32), gas=100_000)


@pytest.mark.parametrize("size", [0, 31, 32, 64, 96, 128, 192, 213, 384])
def test_built_in_contracts_take_and_refuse_the_same_input(pair: Pair, size: int) -> None:
    caller = pair.deploy(RELAY)
    dice = Random(size)
    for address in PRECOMPILES:
        octets = bytes(size) if address[-1] in (6, 7, 9) else dice.randbytes(size)
        assert pair.sent(DAVE, to=caller, data=bytes(12) + address + octets, gas=3_000_000)["status"] == "0x1"


def test_modular_powers_and_recovered_signers_are_the_same(pair: Pair) -> None:
    caller = pair.deploy(RELAY)
    word = Random(3).randbytes(32)
    lengths = ((1, 1, 1), (32, 32, 32), (0, 0, 0), (64, 33, 64), (1, 2**255, 1), (2**64, 0, 0))
    inputs = [(5, b"".join(n.to_bytes(32) for n in sizes) + word * 6) for sizes in lengths]
    signature = ALICE.unsafe_sign_hash(word)
    for v in (signature.v, 55 - signature.v, 29):
        inputs.append((1, word + v.to_bytes(32) + signature.r.to_bytes(32) + signature.s.to_bytes(32)))
    for number, octets in inputs:
        pair.sent(DAVE, to=caller, data=number.to_bytes(32) + octets, gas=3_000_000)


# EIP-7702


def permission(who: LocalAccount, to: str, nonce: int, chain_id: int = CHAIN_ID) -> Any:
    return who.sign_authorization({"chainId": chain_id, "address": to_checksum_address(to), "nonce": nonce})


def test_delegated_accounts_run_change_and_end_alike(pair: Pair) -> None:
    counters, gas = pair.deploy(TWO_COUNTERS), pair.deploy(STORES_GAS)
    who = SENDERS[10]
    for to, nonce, chain_id in (
        (counters, 0, CHAIN_ID),
        (gas, 1, 0),
        (counters, 7, CHAIN_ID),  # not its nonce: the delegation stays
        (counters, 2, CHAIN_ID + 1),  # another chain's
        ("0x" + "00" * 19 + "04", 2, CHAIN_ID),  # a built-in contract is no code
        (DAVE.address, 3, CHAIN_ID),
        ("0x" + "00" * 20, 4, CHAIN_ID),  # ends it
    ):
        permitted = [permission(who, to, nonce, chain_id)]
        pair.sent(BOB, to=who.address, data=b"\1", gas=300_000, authorizationList=permitted)
        pair.sent(BOB, to=who.address, data=b"\1", gas=300_000)
        pair.check_account(who.address)


def test_a_delegated_account_sends_and_delegates_itself(pair: Pair) -> None:
    who, counters = SENDERS[11], pair.deploy(TWO_COUNTERS)
    itself = [permission(who, counters, pair.ours.nonce(who) + 1)]
    assert pair.sent(who, to=who.address, data=b"\1", gas=300_000, authorizationList=itself)["status"] == "0x1"
    assert pair.sent(who, to=who.address, data=b"\1", gas=300_000)["status"] == "0x1"
    pair.check_account(who.address)


# what nobody thought of


@pytest.mark.parametrize("seed", range(3))
def test_random_transactions_end_alike_and_leave_the_same_accounts(pair: Pair, seed: int) -> None:
    dice, contracts, statuses = Random(seed), [pair.deploy(TWO_COUNTERS)], []
    senders = dice.sample(SENDERS[4:10], 3)
    for _ in range(100):
        sender = dice.choice(senders)
        receipt = pair.sent(sender, **draw(dice, contracts, sender, pair.ours))
        statuses.append(receipt["status"])
        if receipt["contractAddress"] is not None and receipt["status"] == "0x1":
            contracts.append(receipt["contractAddress"])
    for address in (*contracts, *(sender.address for sender in senders)):
        pair.check_account(address)
    assert statuses.count("0x1") > 30 < statuses.count("0x0") + 20  # neither nearly all nor nearly none go well


def draw(dice: Random, contracts: list[str], sender: LocalAccount, node: Peer) -> dict[str, Any]:
    """The fields of a transaction of any type: a creation, or a call of one of the contracts."""
    others = [bytes.fromhex(address[2:]) for address in (*contracts[-12:], SENDERS[12].address)]
    fields: dict[str, Any] = {"value": dice.choice((0, 0, 0, 1, 1_000))}
    kind = dice.choice((0, 1, 2, 4))
    if kind < 2:
        fields |= {"gasPrice": 5 * GWEI}
    if kind > 0:
        fields["accessList"] = [
            {
                "address": to_checksum_address(dice.choice(others)),
                "storageKeys": ["0x" + dice.randrange(SLOTS).to_bytes(32).hex() for _ in range(dice.randrange(4))],
            }
            for _ in range(dice.randrange(3))
        ]
    if kind < 4 and (len(contracts) < 6 or dice.random() < 0.3):
        code = program(dice, others)
        initcode = creation(code) if dice.random() < 0.85 else code
        return fields | {"to": None, "data": initcode, "gas": dice.choice((2_000_000, 2_000_000, 120_000))}
    if kind == 4:
        fields["authorizationList"] = [
            permission(
                who,
                to_checksum_address(dice.choice((*others, bytes(20)))),
                node.nonce(who) + (who is sender) + dice.choice((0, 0, 0, 1)),
                dice.choice((0, CHAIN_ID, CHAIN_ID, CHAIN_ID + 1)),
            )
            for who in dice.choices(SENDERS[12:], k=dice.randrange(1, 4))
        ]
    return fields | {
        "to": to_checksum_address(dice.choice(others)),
        "data": dice.randbytes(dice.choice((0, 4, 36, 200, 1_500))),
        "gas": dice.choice((200_000, 300_000, 1_000_000, 3_000_000)),
    }


# the known differences: each is anvil's


def test_anvil_takes_a_signature_with_a_high_s(pair: Pair) -> None:
    raw = signed(SENDERS[14], pair.ours.nonce(SENDERS[14]), gasPrice=3 * GWEI)
    fields = decode(bytes.fromhex(raw[2:]))
    v, s = int.from_bytes(fields[6]), int.from_bytes(fields[8])
    flipped = 71 + 4 * CHAIN_ID - v  # 35 + 2 * chain id becomes 36 + 2 * chain id, and the other way round
    fields[6], fields[8] = flipped.to_bytes(3), (SECPK1_N - s).to_bytes(32)
    high = "0x" + encode(fields).hex()
    with pytest.raises(Refused, match="the signature's s is too high"):  # EIP-2
        pair.ours.send(high)
    theirs = receipt_of(pair.theirs, pair.theirs.send(high))
    assert theirs["from"] == SENDERS[14].address.lower()
    pair.ours.mined(raw)


def test_anvil_queues_and_never_mines_what_pays_less_than_the_floor_of_its_data(pair: Pair) -> None:
    raw = signed(SENDERS[15], pair.ours.nonce(SENDERS[15]), data=b"\1" * 1_000, gas=60_000)
    with pytest.raises(Refused, match="intrinsic gas too low: have 60000, want 61000"):
        pair.ours.send(raw)
    waiting = pair.theirs.send(raw)
    pair.theirs.rpc("anvil_mine", "0x1")
    assert pair.theirs.rpc("eth_getTransactionReceipt", waiting) is None
    pair.ours.mined(signed(SENDERS[13], pair.ours.nonce(SENDERS[13])))  # so many blocks on both


def test_anvil_refunds_a_delegation_to_an_account_that_does_not_exist(pair: Pair) -> None:
    """Its empty database says of every account that it is there, and EIP-7702 refunds those that are.

    The last here: from now on the sender has paid more on one chain than on the other.
    """
    raw = signed(BOB, pair.ours.nonce(BOB), gas=100_000, authorizationList=[permission(FRESH, DAVE.address, 0)])
    ours, theirs = pair.ours.mined(raw), receipt_of(pair.theirs, pair.theirs.send(raw))
    assert (ours["gasUsed"], theirs["gasUsed"]) == (hex(46_000), hex(46_000 - 46_000 // 5))
