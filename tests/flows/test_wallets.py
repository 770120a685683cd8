"""Linking a wallet: a text asked for, signed and sent back makes its address the user's, once."""

import asyncio
from dataclasses import replace

import pytest

from hub.domain.people import UserState, Viewer, Wallet
from hub.domain.refusals import IdentityTaken, InvalidInput, NotFound, ProvisionalUser, StateConflict
from hub.domain.requests import Answer
from hub.domain.siwe import parse
from hub.flows import wallets
from hub.flows.wallets import CHALLENGE_US, Asked
from hub.ports import ChainUnavailable
from tests.flows.benches import Bench
from tests.wallets import PAGE, account, signed

ADDRESS = account().address


async def asked(bench: Bench, viewer: Viewer, number: int = 1) -> Asked:
    answer = await wallets.challenge(bench.hub, viewer, address=account(number).address.lower())
    assert answer.value is not None, answer.refusal
    return answer.value


async def linked(bench: Bench, viewer: Viewer, number: int = 1) -> Wallet:
    """The wallet of that number, linked to the viewer."""
    text = (await asked(bench, viewer, number)).message
    answer = await wallets.link(bench.hub, viewer, message=text, signature=signed(text, number))
    assert answer.value is not None, answer.refusal
    return answer.value


async def linked_rows(bench: Bench) -> list[tuple[str, str]]:
    return await bench.rows("SELECT user_id, address FROM wallet WHERE unlinked_at_us IS NULL ORDER BY address")


async def test_signed_challenge_makes_the_address_the_users(bench: Bench) -> None:
    viewer = await bench.world.learner()
    challenge = await asked(bench, viewer)
    said = parse(challenge.message, bench.vault.keccak)
    assert (said.address, said.chain_id, said.uri, said.nonce) == (ADDRESS, 1337, PAGE, challenge.nonce)
    assert said.domain == "127.0.0.1:8000"
    assert challenge.expires_at_us == bench.clock.now_us() + CHALLENGE_US
    answer = await wallets.link(
        bench.hub, viewer, message=challenge.message, signature=signed(challenge.message)
    )
    assert (answer.refusal, answer.is_replay) == (None, False)
    assert await linked_rows(bench) == [(viewer.user_id, ADDRESS)]
    assert await bench.rows("SELECT action, subject_id, detail FROM audit_entry") == [
        ("walletLink", answer.value and answer.value.id, "{}")
    ]


async def test_nonce_counts_once_and_for_five_minutes(bench: Bench) -> None:
    viewer = await bench.world.learner()
    first, second = await asked(bench, viewer), await asked(bench, viewer)
    await wallets.link(bench.hub, viewer, message=first.message, signature=signed(first.message))
    again = await wallets.link(bench.hub, viewer, message=first.message, signature=signed(first.message))
    assert isinstance(again.refusal, InvalidInput)
    assert "nonce was used" in again.refusal.message
    bench.clock.pass_us(CHALLENGE_US)
    late = await wallets.link(bench.hub, viewer, message=second.message, signature=signed(second.message))
    assert isinstance(late.refusal, InvalidInput)
    assert "five minutes" in late.refusal.message
    assert len(await linked_rows(bench)) == 1


async def test_linking_again_by_another_nonce_is_a_replay(bench: Bench) -> None:
    viewer = await bench.world.learner()
    first = await linked(bench, viewer)
    text = (await asked(bench, viewer)).message
    assert await wallets.link(bench.hub, viewer, message=text, signature=signed(text)) == Answer(first, is_replay=True)


async def test_wallet_of_another_user_is_refused_until_they_unlink_it(bench: Bench) -> None:
    mine, theirs = await bench.world.learner(), await bench.world.learner()
    first = await linked(bench, mine)
    text = (await asked(bench, theirs)).message
    taken = await wallets.link(bench.hub, theirs, message=text, signature=signed(text))
    assert taken == Answer(refusal=IdentityTaken())
    assert (await wallets.unlink(bench.hub, theirs, wallet_id=first.id)).refusal == NotFound("walletId")
    assert (await wallets.unlink(bench.hub, mine, wallet_id=first.id)).refusal is None
    assert (await wallets.unlink(bench.hub, mine, wallet_id=first.id)).is_replay
    assert await linked_rows(bench) == []
    await linked(bench, theirs)
    assert await linked_rows(bench) == [(theirs.user_id, ADDRESS)]


async def test_challenge_of_another_user_is_as_good_as_none(bench: Bench) -> None:
    """Nobody is talked into linking their wallet to somebody else's account."""
    mine, theirs = await bench.world.learner(), await bench.world.learner()
    text = (await asked(bench, theirs)).message
    answer = await wallets.link(bench.hub, mine, message=text, signature=signed(text))
    made_up = text.replace(parse(text, bench.vault.keccak).nonce, "madeup12")
    other = await wallets.link(bench.hub, mine, message=made_up, signature=signed(made_up))
    assert answer == other
    assert isinstance(answer.refusal, InvalidInput)
    assert await linked_rows(bench) == []


@pytest.mark.parametrize("number", [2, 0])
async def test_signature_of_another_key_or_none_links_nothing_and_spends_nothing(bench: Bench, number: int) -> None:
    viewer = await bench.world.learner()
    text = (await asked(bench, viewer)).message
    forged = signed(text, number) if number else b"\1" * 65
    answer = await wallets.link(bench.hub, viewer, message=text, signature=forged)
    assert answer.refusal == InvalidInput("signature", "this is no signature of that message by that wallet")
    assert await linked_rows(bench) == []
    assert (await wallets.link(bench.hub, viewer, message=text, signature=signed(text))).refusal is None


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ("127.0.0.1:8000 wants", "evil.example wants"), ("URI: http://127.0.0.1:8000", "URI: http://evil.example"),
        ("Chain ID: 1337", "Chain ID: 1"), ("\nVersion", "/evil\nVersion"), ("Issued At: 2026", "Issued At: 2027"),
    ],
)  # fmt: skip
async def test_well_signed_message_for_another_page_chain_or_time_is_refused(
    bench: Bench, was: str, becomes: str
) -> None:
    viewer = await bench.world.learner()
    text = (await asked(bench, viewer)).message.replace(was, becomes)
    answer = await wallets.link(bench.hub, viewer, message=text, signature=signed(text))
    is_harmless = becomes.startswith("/evil")  # another path of our own page
    assert (answer.refusal is None) is is_harmless
    assert len(await linked_rows(bench)) == is_harmless


async def test_page_that_is_allowed_may_ask_and_no_other(bench: Bench) -> None:
    viewer = await bench.world.learner()
    hub = replace(bench.hub, page_origins=(PAGE, "https://shop.example"))
    answer = await wallets.challenge(hub, viewer, address=ADDRESS, uri="https://shop.example/me")
    assert answer.value is not None
    text = answer.value.message
    assert text.startswith("shop.example wants you to sign in")
    assert (await wallets.link(hub, viewer, message=text, signature=signed(text))).refusal is None
    for page in ("https://evil.example", "http://shop.example", "https://shop.example.evil.example", "https://"):
        refused = await wallets.challenge(hub, viewer, address=ADDRESS, uri=page)
        assert refused.refusal == InvalidInput("uri", "uri is not of one of this hub's pages")


async def test_contract_wallet_is_asked_by_eip_1271_outside_of_any_transaction(bench: Bench) -> None:
    viewer = await bench.world.learner()
    text = (await asked(bench, viewer, 3)).message
    word = b"many signers" * 20
    refused = await wallets.link(bench.hub, viewer, message=text, signature=word)
    assert isinstance(refused.refusal, InvalidInput)
    bench.chain.approved.add((account(3).address, bench.vault.digest_of(text), word))
    bench.chain.is_away = True
    with pytest.raises(ChainUnavailable):
        await wallets.link(bench.hub, viewer, message=text, signature=word)
    bench.chain.is_away = False
    assert (await wallets.link(bench.hub, viewer, message=text, signature=word)).refusal is None
    assert await linked_rows(bench) == [(viewer.user_id, account(3).address)]


async def test_provisional_user_links_nothing(bench: Bench) -> None:
    viewer = await bench.world.learner(state=UserState.PROVISIONAL)
    answer = await wallets.challenge(bench.hub, viewer, address=ADDRESS)
    assert answer == Answer(refusal=ProvisionalUser())
    assert await bench.rows("SELECT nonce FROM wallet_challenge") == []


async def test_address_that_is_none_is_refused(bench: Bench) -> None:
    viewer = await bench.world.learner()
    for address in ("", "0x", "0x" + "0" * 39, "0x" + "g" * 40, ADDRESS + "0"):
        answer = await wallets.challenge(bench.hub, viewer, address=address)
        assert isinstance(answer.refusal, InvalidInput)


async def test_one_nonce_from_many_processes_at_once_links_once(bench: Bench) -> None:
    viewer = await bench.world.learner()
    text = (await asked(bench, viewer)).message
    signature = signed(text)
    answers = await asyncio.gather(
        *(wallets.link(bench.rival(f"p-{n}").hub, viewer, message=text, signature=signature) for n in range(8))
    )
    assert sum(answer.refusal is None and not answer.is_replay for answer in answers) == 1
    assert all(answer.refusal is None or "nonce was used" in answer.refusal.message for answer in answers)
    assert await bench.one("SELECT count(*) FROM wallet") == 1


async def test_one_wallet_wanted_by_many_users_at_once_is_one_users(bench: Bench) -> None:
    viewers = [await bench.world.learner() for _ in range(6)]
    texts = [(await asked(bench, viewer)).message for viewer in viewers]
    answers = await asyncio.gather(
        *(
            wallets.link(bench.rival(f"p-{n}").hub, viewer, message=text, signature=signed(text))
            for n, (viewer, text) in enumerate(zip(viewers, texts, strict=True))
        )
    )
    assert sorted(type(answer.refusal).__name__ for answer in answers) == ["IdentityTaken"] * 5 + ["NoneType"]
    assert len(await linked_rows(bench)) == 1


async def test_old_challenges_are_forgotten_as_new_ones_are_asked_for(bench: Bench) -> None:
    viewer = await bench.world.learner()
    for _ in range(3):
        await asked(bench, viewer)
        bench.clock.pass_us(3600 * 1_000_000 + CHALLENGE_US + 1)
    assert await bench.one("SELECT count(*) FROM wallet_challenge") == 1


async def test_wallet_that_a_right_is_on_its_way_to_is_not_unlinked(bench: Bench) -> None:
    viewer = await bench.world.learner()
    wallet = await linked(bench, viewer)
    await bench.buy(viewer, await bench.world.listing())

    async def claim(tx: object) -> None:
        await tx.run(_HELD, to=wallet.address)  # type: ignore[attr-defined]  # the statement below

    from sqlalchemy import text

    _HELD = text("UPDATE leaf SET holder = :to")
    await bench.store.write(claim)
    answer = await wallets.unlink(bench.hub, viewer, wallet_id=wallet.id)
    assert answer == Answer(refusal=StateConflict("CLAIMING", "walletUnlink"))
    assert len(await linked_rows(bench)) == 1
    await bench.record()
    assert (await wallets.unlink(bench.hub, viewer, wallet_id=wallet.id)).refusal is None
