"""What a signed word must say, claim by claim: each of them is missing, wrong or too old in turn."""

from typing import Any

import pytest

from hub.domain.exchange import Signed, Word, client_word, granted, subject_word
from hub.domain.issuers import EXCHANGE_SCOPES, LINK_SCOPE
from hub.domain.people import LEARNER_SCOPES
from tests.partners import ENDPOINT, HUB, Partner
from tests.world import SECOND_US, START_US

PARTNER = Partner("plt_1")
ISSUER = PARTNER.trusted()
NOW_S = START_US // SECOND_US
HERE = frozenset({HUB, ENDPOINT})
SUBJECT = {"iss": "https://xue.example", "aud": HUB, "sub": "m-1", "iat": NOW_S, "exp": NOW_S + 300, "jti": "j-1"}
CLIENT = {"iss": PARTNER.id, "sub": PARTNER.id, "aud": ENDPOINT, "iat": NOW_S, "exp": NOW_S + 60, "jti": "j-1"}


def said(claims: dict[str, Any], kind: str = "jwt", digest: str = "d") -> Signed:
    return Signed(kind, {name: value for name, value in claims.items() if value is not ...}, digest)


def test_a_whole_word_is_taken_until_its_end() -> None:
    word = Word("m-1", "subject|https://xue.example|j-1", (NOW_S + 300) * SECOND_US)
    assert subject_word(ISSUER, said(SUBJECT), START_US) == word
    assert subject_word(ISSUER, said(SUBJECT), (NOW_S + 300) * SECOND_US - 1) == word
    assert subject_word(ISSUER, said(SUBJECT), (NOW_S + 300) * SECOND_US) == "it has ended"
    assert client_word(ISSUER, said(CLIENT), HERE, START_US) == Word(
        PARTNER.id, f"client|{PARTNER.id}|j-1", (NOW_S + 60) * SECOND_US
    )


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://xue.example/"}, "iss"), ({"iss": "https://kan.example"}, "iss"), ({"iss": ...}, "iss"),
        ({"iss": ["https://xue.example"]}, "iss"),
        ({"aud": "https://else.example"}, "aud"), ({"aud": ...}, "aud"), ({"aud": []}, "aud"), ({"aud": 7}, "aud"),
        ({"aud": [HUB.upper()]}, "aud"),
        ({"sub": ...}, "sub has"), ({"sub": ""}, "sub has"), ({"sub": " "}, "sub has"), ({"sub": 7}, "sub has"),
        ({"sub": "x" * 201}, "sub has"), ({"sub": "a\x00"}, "sub has"), ({"sub": "\ud800"}, "sub has"),
        ({"iat": ...}, "numbers"), ({"exp": ...}, "numbers"), ({"exp": "9999999999"}, "numbers"),
        ({"exp": True}, "numbers"), ({"exp": float("nan")}, "numbers"), ({"exp": float("inf")}, "numbers"),
        ({"exp": 10**400}, "numbers"), ({"iat": -1}, "numbers"), ({"nbf": "soon"}, "numbers"),
        ({"iat": NOW_S - 601, "exp": NOW_S - 1}, "ended"),
        ({"iat": NOW_S - 601, "exp": NOW_S + 60}, "600 s at most"), ({"exp": NOW_S + 601}, "600 s at most"),
        ({"iat": NOW_S - 700, "exp": NOW_S - 100}, "ended"),
        ({"iat": NOW_S + 31, "exp": NOW_S + 60}, "not count yet"), ({"nbf": NOW_S + 31}, "not count yet"),
        ({"jti": ""}, "jti has"), ({"jti": 7}, "jti has"), ({"jti": "x" * 201}, "jti has"), ({"jti": "\x00"}, "jti"),
        ({"may_act": {"sub": "iss_else"}}, "may_act"), ({"may_act": "iss_else"}, "may_act"),
        ({"scope": ["orders:read"]}, "scope is"), ({"scope": 7}, "scope is"),
    ],
)  # fmt: skip
def test_a_word_about_a_person_that_is_not_taken(claims: dict[str, Any], reason: str) -> None:
    told = subject_word(ISSUER, said(SUBJECT | claims), START_US)
    assert isinstance(told, str)
    assert reason in told
    assert "m-1" not in told


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [HUB, "https://else.example"]}, {"aud": [HUB]}, {"iat": NOW_S + 30, "exp": NOW_S + 60},
        {"iat": NOW_S - 599, "exp": NOW_S + 1}, {"iat": NOW_S - 0.5, "exp": NOW_S + 299.5}, {"nbf": NOW_S - 5},
        {"may_act": {"sub": PARTNER.id}}, {"jku": "https://evil.example"}, {"sub": "学"},
    ],
)  # fmt: skip
def test_a_word_about_a_person_that_is_taken(claims: dict[str, Any]) -> None:
    assert isinstance(subject_word(ISSUER, said(SUBJECT | claims), START_US), Word)


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"iss": "https://xue.example"}, "client_id"), ({"sub": "m-1"}, "client_id"), ({"sub": ...}, "client_id"),
        ({"aud": "https://else.example"}, "nobody else"), ({"aud": [HUB, ENDPOINT]}, "nobody else"),
        ({"aud": ...}, "nobody else"), ({"jti": ...}, "jti is missing"), ({"jti": ""}, "jti"),
        ({"exp": NOW_S + 601}, "600 s"), ({"iat": ...}, "numbers"), ({"exp": NOW_S}, "ended"),
    ],
)  # fmt: skip
def test_an_assertion_that_is_not_taken(claims: dict[str, Any], reason: str) -> None:
    told = client_word(ISSUER, said(CLIENT | claims), HERE, START_US)
    assert isinstance(told, str)
    assert reason in told


def test_an_assertion_is_for_the_hub_or_its_endpoint() -> None:
    for audience in (HUB, ENDPOINT, [HUB], [ENDPOINT]):
        assert isinstance(client_word(ISSUER, said(CLIENT | {"aud": audience}), HERE, START_US), Word)


def test_one_kind_of_token_does_not_pass_for_another() -> None:
    assert isinstance(subject_word(ISSUER, said(CLIENT), START_US), str)
    assert isinstance(client_word(ISSUER, said(SUBJECT), HERE, START_US), str)
    assert isinstance(subject_word(ISSUER, said(SUBJECT, "client-authentication+jwt"), START_US), str)
    assert isinstance(subject_word(ISSUER, said(SUBJECT, "logout+jwt"), START_US), str)
    assert isinstance(client_word(ISSUER, said(CLIENT, "at+jwt"), HERE, START_US), str)
    assert isinstance(client_word(ISSUER, said(CLIENT, "client-authentication+jwt"), HERE, START_US), Word)
    assert isinstance(subject_word(ISSUER, said(SUBJECT, ""), START_US), Word)


def test_without_a_jti_the_words_themselves_are_remembered() -> None:
    first, same, other = [
        subject_word(ISSUER, said(SUBJECT | {"jti": ...}, digest=digest), START_US) for digest in ("a", "a", "b")
    ]
    assert isinstance(first, Word)
    assert first == same != other
    assert first.mark == "subject|https://xue.example|a"


def test_another_claim_may_name_the_member() -> None:
    issuer = PARTNER.trusted(subject_claim="member_uuid")
    word = subject_word(issuer, said(SUBJECT | {"sub": "ada@example.org", "member_uuid": "u-1"}), START_US)
    assert isinstance(word, Word)
    assert word.subject == "u-1"
    assert isinstance(subject_word(issuer, said(SUBJECT), START_US), str)


def test_scopes_are_what_everybody_agrees_to() -> None:
    word = Word("m-1", "mark", 1)
    reader = PARTNER.trusted(scopes=frozenset({"orders:read", "entitlements:read"}))
    assert granted(None, ISSUER, word) == EXCHANGE_SCOPES == LEARNER_SCOPES | {LINK_SCOPE}
    assert granted(None, reader, word) == {"orders:read", "entitlements:read"}
    assert granted(frozenset({"orders:read", "orders:write"}), reader, word) == {"orders:read"}
    limited = Word("m-1", "mark", 1, frozenset({"entitlements:read", "openid"}))
    assert granted(None, reader, limited) == {"entitlements:read"}
    assert granted(frozenset({"orders:read"}), reader, limited) == frozenset()
    assert granted(frozenset({"operations:write"}), ISSUER, word) == frozenset()
    assert granted(None, PARTNER.trusted(scopes=frozenset({"operations:write"})), word) == frozenset()
