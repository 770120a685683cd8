"""A partner's signed word about a person becomes a token of the hub (RFC 8693): that is how learners sign in.

exchange        the client proves itself, its word is checked, then written down and answered
sign_in         in one unit: both words count once, and the person is there, made or found, and awake
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from hub.domain.exchange import (
    ExchangeError,
    ExchangeRequest,
    NotExchanged,
    Word,
    client_word,
    granted,
    subject_word,
)
from hub.domain.ids import Draw
from hub.domain.issuers import ACCESS_TOKEN_S, ALGORITHMS, CLOCK_SKEW_S, TrustedIssuer
from hub.domain.people import member_issuer
from hub.flows import rivals
from hub.flows.people import put_member
from hub.ports import Hub, KeysUnavailable, SignatureNotTaken, Vault

if TYPE_CHECKING:
    from hub.store.transactions import Tx


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A token for the learner's app. `is_first`: their first sign-in here."""

    access_token: str = field(repr=False)
    scopes: frozenset[str]
    lifetime_s: int
    is_first: bool


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who the word was about."""

    user_id: str
    pairwise_id: str
    is_first: bool


async def exchange(hub: Hub, asked: ExchangeRequest, audiences: frozenset[str]) -> Exchanged | NotExchanged:
    """`audiences` are the names under which this hub is addressed by client assertions."""
    try:
        client = await _client(hub, asked, audiences)
        if isinstance(client, NotExchanged):
            return client
        issuer, proven = client
        word = await _subject(hub, issuer, asked)
    except KeysUnavailable as fault:
        return NotExchanged(ExchangeError.UNAVAILABLE, str(fault))
    if isinstance(word, NotExchanged):
        return word
    scopes = granted(asked.scopes, issuer, word)
    if not scopes:
        return NotExchanged(ExchangeError.INVALID_SCOPE, "nothing is left of the scopes that were asked for")
    draw = hub.draw()
    signed_in = await rivals.write(hub, sign_in, issuer, proven, word, draw, hub.vault)
    if isinstance(signed_in, NotExchanged):
        return signed_in
    token = hub.tokens.issue_exchanged_token(signed_in.user_id, signed_in.pairwise_id, issuer, scopes, draw.now_us)
    return Exchanged(token, scopes, ACCESS_TOKEN_S, signed_in.is_first)


async def _client(
    hub: Hub, asked: ExchangeRequest, audiences: frozenset[str]
) -> tuple[TrustedIssuer, Word] | NotExchanged:
    """Whose assertion it is. Whether the client is unknown or its signature wrong is one answer."""
    claimed = hub.partners.said(asked.client_assertion, "iss")
    async with hub.store.reading() as rx:
        issuer = await rx.issuers.by_id(claimed) if claimed else None
    if issuer is None or not issuer.is_active or asked.client_id not in (None, issuer.id):
        return _UNKNOWN_CLIENT
    now_us = hub.clock.now_us()
    try:
        signed = await hub.partners.signed(asked.client_assertion, issuer.client_keys, ALGORITHMS, now_us)
    except SignatureNotTaken:
        return _UNKNOWN_CLIENT
    word = client_word(issuer, signed, audiences, now_us)
    if isinstance(word, str):
        return NotExchanged(ExchangeError.INVALID_CLIENT, f"the client assertion is not taken: {word}")
    return issuer, word


async def _subject(hub: Hub, issuer: TrustedIssuer, asked: ExchangeRequest) -> Word | NotExchanged:
    """Only of the client's own issuer: another partner's token does not fit its keys, and names another issuer."""
    now_us = hub.clock.now_us()
    try:
        signed = await hub.partners.signed(asked.subject_token, issuer.keys, issuer.algorithms, now_us)
    except SignatureNotTaken as fault:
        return _not_taken(str(fault))
    word = subject_word(issuer, signed, now_us)
    return _not_taken(word) if isinstance(word, str) else word


async def sign_in(
    tx: "Tx", issuer: TrustedIssuer, client: Word, word: Word, draw: Draw, vault: Vault
) -> SignedIn | NotExchanged:
    """Whoever comes by a platform's word is that platform's member. The first such word is the owner's first sign-in:
    a provisional User is theirs from now on, and nothing that was tied to it before counts any more."""
    if await tx.issuers.by_id(issuer.id) != issuer:
        return NotExchanged(ExchangeError.UNAVAILABLE, "the issuer was changed just now: try again")
    source = member_issuer(issuer.platform_id)
    account = await tx.people.identity(source, word.subject)
    if account is not None and account.ended_at_us is not None:
        return _not_taken("its subject was removed by the platform, and a subject is never used again")
    for spent in (client, word):
        digest = hashlib.sha256(spent.mark.encode()).hexdigest()
        if not await tx.issuers.spend(digest, issuer.id, spent.expires_at_us):
            return _REPLAYED_CLIENT if spent is client else _not_taken("it was exchanged before")
    await tx.issuers.forget(draw.now_us - CLOCK_SKEW_S * 1_000_000)
    member = (await put_member(tx, issuer.platform_id, word.subject, draw, vault)).value
    assert member is not None  # the platform is there, and the account has not ended
    is_first = await tx.people.activate(member.user_id)
    if is_first:
        await tx.people.end_other_identities(member.user_id, source, word.subject, draw.now_us)
    return SignedIn(member.user_id, member.pairwise_id, is_first)


def _not_taken(reason: str) -> NotExchanged:
    return NotExchanged(ExchangeError.INVALID_REQUEST, f"the subject token is not taken: {reason}")


_UNKNOWN_CLIENT = NotExchanged(ExchangeError.INVALID_CLIENT, "the client is not known by this assertion")
_REPLAYED_CLIENT = replace(_UNKNOWN_CLIENT, description="the client assertion was used before")
