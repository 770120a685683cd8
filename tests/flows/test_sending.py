"""Transactions that do not get into a block by themselves: outbid, given up, filled; what lies behind goes on."""

from typing import Any

import pytest

from hub.domain.records import KeyRole
from hub.flows.sending import (
    FAILED_DEPTH,
    FILL,
    FILL_AFTER_US,
    OUTBID_AFTER_US,
    TAKEN_DEPTH,
    finished,
    settle_mined,
    transacted,
)
from hub.ports import ChainReceipt, ChainRefused, ChainUnavailable, FeeTooLow, NonceTaken, SignedTransaction
from tests.flows.benches import Bench
from tests.flows.scripted import ScriptedChain
from tests.world import DAY_US

TO = "0x" + "dd" * 20


async def looked(bench: Bench, purpose: str, by: KeyRole = KeyRole.GATEWAY) -> ChainReceipt | None:
    return await transacted(
        bench.hub, purpose, lambda nonce: bench.chain.sign_call(TO, purpose.encode(), nonce, by), by=by
    )


async def called(bench: Bench, purpose: str, by: KeyRole = KeyRole.GATEWAY) -> ChainReceipt | None:
    return await finished(bench.hub, purpose, TO, purpose.encode(), by=by)


async def got_into_a_block(bench: Bench, purpose: str, *, is_ok: bool = True) -> None:
    """While nobody looked."""
    hash_ = await hash_of(bench, purpose)
    bench.chain.mined[hash_] = ChainReceipt(hash_, is_ok, 1, "0xb1", 50_000, 10**9, 1)


async def kept(bench: Bench) -> list[tuple[Any, ...]]:
    return await bench.rows("SELECT purpose, nonce, state FROM chain_transaction ORDER BY nonce")


def refusing(bench: Bench, hash_: str, why: Exception) -> None:
    """The node takes everything but this one, from now on."""
    send = bench.chain.send

    async def refuse(transaction: SignedTransaction) -> None:
        if transaction.hash == hash_:
            raise why
        await send(transaction)

    bench.chain.send = refuse  # type: ignore[method-assign]  # this chain's own no


async def hash_of(bench: Bench, purpose: str) -> str:
    [(hash_,)] = await bench.rows(f"SELECT hash FROM chain_transaction WHERE purpose = '{purpose}'")
    return str(hash_)


async def test_a_transaction_that_waits_too_long_is_signed_again_for_more_under_its_nonce(bench: Bench) -> None:
    bench.chain.holds_back = True
    assert await looked(bench, "one") is None
    cheap = await hash_of(bench, "one")
    bench.clock.pass_us(OUTBID_AFTER_US - 1)
    assert await looked(bench, "one") is None
    assert await hash_of(bench, "one") == cheap, "it has its time"
    bench.clock.pass_us(1)
    assert await looked(bench, "one") is None
    dearer = await hash_of(bench, "one")
    assert bench.chain.sent[-1] == dearer != cheap
    bench.chain.holds_back = False
    receipt = await looked(bench, "one")
    assert receipt is not None
    assert receipt.hash == dearer
    assert await kept(bench) == [("one", 0, "SIGNED")]


async def test_a_transaction_that_a_node_keeps_for_more_money_only_is_outbid_in_its_time(bench: Bench) -> None:
    bench.chain.holds_back = True
    assert await looked(bench, "one") is None
    cheap = await hash_of(bench, "one")
    refusing(bench, cheap, FeeTooLow("max fee per gas less than block base fee"))
    bench.chain.holds_back = False
    bench.clock.pass_us(OUTBID_AFTER_US - 1)
    assert await looked(bench, "one") is None
    assert await hash_of(bench, "one") == cheap
    bench.clock.pass_us(1)
    assert await looked(bench, "one") is None
    dearer = await hash_of(bench, "one")
    receipt = await looked(bench, "one")
    assert receipt is not None
    assert (receipt.hash, dearer != cheap) == (dearer, True)
    assert await kept(bench) == [("one", 0, "SIGNED")]


async def test_what_was_outbid_and_is_in_a_block_all_the_same_counts(bench: Bench) -> None:
    bench.chain.holds_back = True
    assert await looked(bench, "one") is None
    cheap = await hash_of(bench, "one")
    bench.clock.pass_us(OUTBID_AFTER_US)
    assert await looked(bench, "one") is None
    bench.chain.mined[cheap] = ChainReceipt(cheap, True, 1, "0xb1", 50_000, 10**9, 1)
    receipt = await looked(bench, "one")
    assert receipt is not None
    assert receipt.hash == cheap


async def test_only_what_all_others_wait_for_is_outbid(bench: Bench) -> None:
    bench.chain.holds_back = True
    for purpose in ("one", "two"):
        assert await looked(bench, purpose) is None
    hashes = [await hash_of(bench, purpose) for purpose in ("one", "two")]
    bench.clock.pass_us(OUTBID_AFTER_US)
    assert await looked(bench, "two") is None
    assert await hash_of(bench, "one") != hashes[0], "by whoever comes first"
    assert await hash_of(bench, "two") == hashes[1]


async def test_above_the_ceiling_it_waits_with_its_old_bytes(bench: Bench) -> None:
    bench.chain.holds_back = True
    assert await looked(bench, "one") is None

    async def too_dear(raw: str, sender: str) -> SignedTransaction:
        raise ChainUnavailable("above the ceiling")

    bench.chain.sign_replacement = too_dear  # type: ignore[method-assign]  # gas is dear today
    bench.clock.pass_us(OUTBID_AFTER_US)
    with pytest.raises(ChainUnavailable, match="ceiling"):
        await looked(bench, "one")
    assert await bench.rows("SELECT count(*) FROM replaced_transaction") == [(0,)]


async def test_two_processes_outbid_a_transaction_once(bench: Bench) -> None:
    bench.chain.holds_back = True
    assert await looked(bench, "one") is None
    sign = bench.chain.sign_replacement

    async def overtaken(raw: str, sender: str) -> SignedTransaction:
        bench.chain.sign_replacement = sign  # type: ignore[method-assign]  # the other's own
        assert await looked(bench, "one") is None  # the other process, between our look and our commit
        return await sign(raw, sender)

    bench.chain.sign_replacement = overtaken  # type: ignore[method-assign]  # overtaken only once
    bench.clock.pass_us(OUTBID_AFTER_US)
    assert await looked(bench, "one") is None
    assert await bench.rows("SELECT nonce, purpose FROM replaced_transaction") == [(0, "one")]


async def test_a_nonce_that_was_used_for_something_else_is_given_up(bench: Bench) -> None:
    """By an operator's own hand, or by a second hub with the same key."""
    bench.chain.holds_back = True
    assert await looked(bench, "one") is None
    bench.chain.holds_back = False
    bench.chain.signers["0xforeign"] = bench.chain.sender
    bench.chain.mined["0xforeign"] = ChainReceipt("0xforeign", True, 1, "0xb1", 50_000, 10**9, 1)
    refusing(bench, await hash_of(bench, "one"), NonceTaken("nonce too low"))
    bench.clock.pass_us(DAY_US)
    for _ in range(TAKEN_DEPTH - 1):
        assert await looked(bench, "one") is None
        assert await kept(bench) == [("one", 0, "SIGNED")], "however old it is: a node may merely lag"
        bench.chain.told_by_others("Paused", "0x", {})
    assert await looked(bench, "one") is None
    receipt = await looked(bench, "one")
    assert receipt is not None
    assert await kept(bench) == [("one#0", 0, "FAILED"), ("one", 1, "SIGNED")]


async def test_a_nonce_that_no_node_takes_is_filled_and_what_lies_behind_goes_on(bench: Bench) -> None:
    bench.chain.holds_back = True
    for purpose in ("one", "two"):
        assert await looked(bench, purpose) is None
    bench.chain.holds_back = False
    refusing(bench, await hash_of(bench, "one"), ChainRefused("exceeds block gas limit"))
    with pytest.raises(ChainRefused):
        await looked(bench, "one")
    assert await looked(bench, "two") is None
    bench.clock.pass_us(FILL_AFTER_US)
    with pytest.raises(ChainRefused):
        await looked(bench, "one")
    assert await looked(bench, "two") is not None
    filler = f"{FILL}{bench.chain.chain_id}:{bench.chain.sender}:0"
    assert await kept(bench) == [(filler, 0, "CONFIRMED"), ("two", 1, "SIGNED")]
    assert await looked(bench, "one") is not None
    assert await kept(bench) == [(filler, 0, "CONFIRMED"), ("two", 1, "CONFIRMED"), ("one", 2, "SIGNED")]


# ---- what nobody asks for again --------------------------------------------------------------------------------------


async def test_a_call_that_nobody_asks_for_again_is_settled_by_whoever_sends_next(bench: Bench) -> None:
    """Its effect was seen on chain before its receipt was."""
    bench.chain.holds_back = True
    assert await called(bench, "one") is None
    bench.chain.holds_back = False
    await got_into_a_block(bench, "one")
    assert await looked(bench, "two") is not None
    assert await kept(bench) == [("one", 0, "CONFIRMED"), ("two", 1, "SIGNED")]


async def test_what_a_task_follows_or_no_block_holds_is_left(bench: Bench) -> None:
    bench.chain.holds_back = True
    purposes = ["anchor:1", "settle:2", "revoke:3", "offer:4", "offer:5"]
    for purpose in purposes:
        assert await looked(bench, purpose) is None
    for purpose in purposes[:4]:
        await got_into_a_block(bench, purpose)
    await settle_mined(bench.hub, bench.chain.accounts[KeyRole.REVOKER])
    assert {state for *_, state in await kept(bench)} == {"SIGNED"}, "another's"
    await settle_mined(bench.hub, bench.chain.sender)
    assert [state for *_, state in await kept(bench)] == ["SIGNED", "SIGNED", "SIGNED", "CONFIRMED", "SIGNED"]


async def test_a_call_that_failed_and_that_nobody_asks_for_again_is_over_once_its_block_is_deep(bench: Bench) -> None:
    """So is one whose nonce was used for something else."""
    bench.chain.holds_back = True
    for purpose in ("one", "two"):
        assert await called(bench, purpose) is None
    await got_into_a_block(bench, "one", is_ok=False)
    bench.chain.signers["0xforeign"] = bench.chain.sender
    bench.chain.mined["0xforeign"] = ChainReceipt("0xforeign", True, 2, "0xb2", 50_000, 10**9, 1)
    for _ in range(FAILED_DEPTH - 3):
        bench.chain.told_by_others("Paused", "0x", {})
    for ends in (["one", "two"], ["one#0", "two"], ["one#0", "two#1"]):
        await settle_mined(bench.hub, bench.chain.sender)
        assert [purpose for purpose, *_ in await kept(bench)] == ends
        bench.chain.told_by_others("Paused", "0x", {})
    assert {state for *_, state in await kept(bench)} == {"FAILED"}


async def test_two_processes_that_see_a_call_failed_do_not_end_what_is_signed_anew(bench: Bench) -> None:
    """One sees it, frees the purpose and signs it anew, while the other still holds the same receipt."""
    bench.chain.holds_back = True
    assert await called(bench, "one") is None
    await got_into_a_block(bench, "one", is_ok=False)
    ask = bench.chain.receipt

    async def overtaken(hash_: str) -> ChainReceipt | None:
        bench.chain.receipt = ask  # type: ignore[method-assign]  # the other's own
        failed = await ask(hash_)
        first = await called(bench.rival(), "one")
        assert first == failed
        assert await called(bench.rival(), "one") is None
        return failed

    bench.chain.receipt = overtaken  # type: ignore[method-assign]  # between our look and our commit
    assert await called(bench, "one") is None, "what is signed anew may still take effect"
    assert await kept(bench) == [("one#0", 0, "FAILED"), ("one", 1, "SIGNED")]


async def test_a_call_that_was_outbid_is_settled_by_the_receipt_of_its_former_bytes(bench: Bench) -> None:
    bench.chain.holds_back = True
    assert await called(bench, "one") is None
    cheap = await hash_of(bench, "one")
    bench.clock.pass_us(OUTBID_AFTER_US)
    assert await called(bench, "one") is None
    bench.chain.mined[cheap] = ChainReceipt(cheap, False, 1, "0xb1", 50_000, 10**9, 1)
    assert await called(bench, "one") == bench.chain.mined[cheap]
    assert await kept(bench) == [("one#0", 0, "FAILED")]


# ---- a node whose pool keeps what lies behind a gap ------------------------------------------------------------------


class Pool(ScriptedChain):
    """As a real node: what has a gap before it waits, and what a fork takes back may be forgotten."""

    async def send(self, transaction: SignedTransaction) -> None:
        self._answer()
        self.sent.append(transaction.hash)
        if transaction.hash in self.mined or transaction.nonce > self._used(transaction.sender):
            return
        if transaction.nonce < self._used(transaction.sender):
            raise NonceTaken("nonce too low")
        self.signed[transaction.hash]()
        self.mined[transaction.hash] = self._mined(transaction.hash)


@pytest.fixture
def pooled(bench: Bench) -> Bench:
    bench.chain = Pool()
    return bench


async def test_what_a_fork_took_back_is_sent_again_though_its_end_was_told(pooled: Bench) -> None:
    """A call that nobody follows any more would else hold up all behind it for ever."""
    receipt = await finished(pooled.hub, "one", TO, b"one", by=KeyRole.GATEWAY)
    assert receipt is not None
    pooled.chain.fork()
    assert receipt.hash not in pooled.chain.mined
    assert await looked(pooled, "two") is not None
    assert receipt.hash in pooled.chain.mined


async def test_a_nonce_that_a_node_named_too_high_is_reached_by_filling_those_before_it(pooled: Bench) -> None:
    honest = pooled.chain.mined_nonce

    async def seven(sender: str) -> int:
        return 7

    pooled.chain.mined_nonce = seven  # type: ignore[method-assign]  # wrong only once
    assert await looked(pooled, "one") is None
    pooled.chain.mined_nonce = honest  # type: ignore[method-assign]  # its own again
    assert await looked(pooled, "one") is not None
    assert [nonce for _, nonce, _ in await kept(pooled)] == list(range(8))
    assert await looked(pooled, "two") is not None
    states = {purpose: state for purpose, _, state in await kept(pooled) if purpose.startswith(FILL)}
    assert len(states) == 7
    assert set(states.values()) == {"CONFIRMED"}


async def test_a_refused_transaction_that_nobody_follows_is_filled_by_who_waits_behind_it(pooled: Bench) -> None:
    with pytest.raises(ChainRefused):
        await refused_first(pooled)
    assert await looked(pooled, "two") is None
    pooled.clock.pass_us(FILL_AFTER_US)
    assert await looked(pooled, "two") is not None, "and no refusal of another's is raised"
    filler = f"{FILL}{pooled.chain.chain_id}:{pooled.chain.sender}:0"
    assert await kept(pooled) == [(filler, 0, "SIGNED"), ("two", 1, "SIGNED")]


async def refused_first(bench: Bench) -> None:
    """A transaction that is signed and kept, and that the node takes neither then nor later."""
    sign = bench.chain.sign_call

    async def marked(to: str, data: bytes, nonce: int, by: KeyRole = KeyRole.GATEWAY) -> SignedTransaction:
        signed = await sign(to, data, nonce, by)
        refusing(bench, signed.hash, ChainRefused("tx fee exceeds the configured cap"))
        return signed

    bench.chain.sign_call = marked  # type: ignore[method-assign]  # for this one
    try:
        await looked(bench, "one")
    finally:
        bench.chain.sign_call = sign  # type: ignore[method-assign]  # its own again


# ---- another gateway -------------------------------------------------------------------------------------------------


async def test_what_a_former_gateway_has_signed_is_sent_on_and_the_new_one_begins_its_own_nonces(bench: Bench) -> None:
    bench.chain.holds_back = True
    for purpose in ("one", "two"):
        assert await looked(bench, purpose) is None
    old, new = bench.chain.sender, "0x" + "ae" * 20
    bench.chain.accounts |= {KeyRole.GATEWAY: new, KeyRole.FORMER: old}
    assert await looked(bench, "three") is None
    bench.chain.holds_back = False

    for purpose in ("three", "two", "one"):
        assert await looked(bench, purpose) is not None

    rows = await bench.rows("SELECT purpose, sender, nonce FROM chain_transaction ORDER BY purpose")
    assert rows == [("one", old, 0), ("three", new, 0), ("two", old, 1)]


async def test_a_former_gateways_transaction_is_outbid_with_its_own_key(bench: Bench) -> None:
    bench.chain.holds_back = True
    assert await looked(bench, "one") is None
    old = bench.chain.sender
    bench.chain.accounts |= {KeyRole.GATEWAY: "0x" + "ae" * 20, KeyRole.FORMER: old}
    bench.clock.pass_us(OUTBID_AFTER_US)
    assert await looked(bench, "one") is None
    bench.chain.holds_back = False
    assert await looked(bench, "one") is not None
    assert await bench.rows("SELECT sender, nonce FROM chain_transaction") == [(old, 0)]
    assert await bench.rows("SELECT sender, nonce, purpose FROM replaced_transaction") == [(old, 0, "one")]
