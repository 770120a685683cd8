"""User tokens and API keys: what is taken, what is refused, and that nothing secret is said on the way."""

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from hub.domain.ids import Draw
from hub.domain.people import LEARNER_SCOPES, Viewer, ViewerKind
from hub.ports import TokenProblem, TokenRefused
from hub.security import jws, tokens
from hub.security.jws import SigningKey
from hub.security.keys import Key, KeyRefused
from hub.security.signing import RECEIPT_TYPE
from hub.security.tokens import (
    MAX_LIFETIME_S,
    UserTokens,
    hash_secret,
    matches,
    new_api_key,
    parse_api_key,
)
from hub.security.vault import KeyVault
from tests.partners import Partner

KEY = Key(b"t" * 32, is_development=True)
SIGNING = SigningKey(KEY, "user tokens")
USER = "usr_" + "0" * 26
NOW_S = 1_800_000_000
NOW = NOW_S * 1_000_000
CLAIMS: dict[str, object] = {
    "iss": "tongbao",
    "aud": "tongbao/graphql",
    "sub": USER,
    "scopes": ["orders:read"],
    "iat": NOW_S,
    "nbf": NOW_S,
    "exp": NOW_S + 600,
}


def refusal(token: str, now_us: int = NOW) -> TokenRefused:
    with pytest.raises(TokenRefused) as refused:
        UserTokens(KEY).verify_user_token(token, now_us)
    return refused.value


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(header: dict[str, Any], claims: dict[str, object] = CLAIMS) -> str:
    return ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))


def test_a_token_says_who_asks_and_until_when() -> None:
    hub = UserTokens(KEY)
    viewer = hub.verify_user_token(hub.issue_user_token(USER, NOW, 600), NOW)
    assert viewer == Viewer(ViewerKind.USER, USER, scopes=LEARNER_SCOPES, expires_at_us=NOW + 600_000_000)


def test_a_token_holds_the_claims_that_a_gateway_expects() -> None:
    header, payload, _ = UserTokens(KEY).issue_user_token(USER, NOW + 5, 600, frozenset({"orders:read"})).split(".")
    assert json.loads(base64.urlsafe_b64decode(payload + "==")) == CLAIMS
    assert json.loads(base64.urlsafe_b64decode(header + "==")) == {"alg": "ES256", "kid": SIGNING.kid, "typ": "at+jwt"}


def test_the_same_question_gives_the_same_token() -> None:
    assert UserTokens(KEY).issue_user_token(USER, NOW, 600) == UserTokens(KEY).issue_user_token(USER, NOW, 600)


def test_a_token_ends_at_its_microsecond() -> None:
    hub = UserTokens(KEY)
    token = hub.issue_user_token(USER, NOW, 600)
    assert hub.verify_user_token(token, NOW + 599_999_999).user_id == USER
    for verifier in (hub, UserTokens(KEY)):  # remembered or not
        with pytest.raises(TokenRefused) as refused:
            verifier.verify_user_token(token, NOW + 600_000_000)
        assert refused.value.reason is TokenProblem.EXPIRED


def test_a_clock_that_jumps_back_refuses_a_remembered_token_too() -> None:
    hub = UserTokens(KEY)
    token = hub.issue_user_token(USER, NOW, 600)
    hub.verify_user_token(token, NOW)
    hub.verify_user_token(token, NOW - 5_000_000)
    with pytest.raises(TokenRefused) as refused:
        hub.verify_user_token(token, NOW - 5_000_001)
    assert refused.value.reason is TokenProblem.NOT_YET


@pytest.mark.parametrize("begin", [{"iat": NOW_S + 6}, {"nbf": NOW_S + 6}])
def test_a_token_does_not_count_before_it_begins(begin: dict[str, object]) -> None:
    assert refusal(SIGNING.sign("at+jwt", CLAIMS | begin)).reason is TokenProblem.NOT_YET


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "someone else"},
        {"aud": "another service"},
        {"aud": ["tongbao/graphql", "another service"]},
        {"sub": "plt_" + "0" * 26},
        {"sub": 7},
        {"scopes": "orders:read"},
        {"scopes": [7]},
        {"exp": "1800000600"},
        {"exp": NOW_S + 600.0},
        {"nbf": True},
        {"exp": NOW_S + MAX_LIFETIME_S + 1},
        {"kind": "OPERATOR"},
    ],
)
def test_signed_claims_that_are_not_ours_are_refused(change: dict[str, object]) -> None:
    assert UserTokens(KEY).verify_user_token(SIGNING.sign("at+jwt", CLAIMS), NOW).user_id == USER
    assert refusal(SIGNING.sign("at+jwt", CLAIMS | change)).reason is TokenProblem.UNREADABLE


ISSUER = Partner("plt_1").trusted()
EXCHANGED: dict[str, object] = {
    **CLAIMS, "sub": "a" * 26, "act": {"sub": "plt_1"}, "client_id": ISSUER.id,
    "usr": jws.base64url(KeyVault(KEY).seal(USER.encode(), f"token|{ISSUER.id}")),
}  # fmt: skip


def test_a_token_that_a_partner_got_is_the_users_and_names_the_partner() -> None:
    hub = UserTokens(KEY)
    token = hub.issue_exchanged_token(USER, "a" * 26, ISSUER, frozenset({"orders:read"}), NOW)
    assert hub.verify_user_token(token, NOW) == Viewer(
        ViewerKind.USER, USER, scopes=frozenset({"orders:read"}), expires_at_us=NOW + 600_000_000, issuer_id=ISSUER.id
    )
    assert UserTokens(KEY).verify_user_token(SIGNING.sign("at+jwt", EXCHANGED), NOW).user_id == USER
    with pytest.raises(TokenRefused):
        hub.verify_user_token(token, NOW + 600_000_000)


@pytest.mark.parametrize(
    "change",
    [
        {"usr": USER}, {"usr": "AAAA"}, {"usr": 7}, {"client_id": "iss_else"}, {"client_id": None},
        {"usr": jws.base64url(KeyVault(KEY).seal(b"plt_1", f"token|{ISSUER.id}"))},
        {"usr": jws.base64url(KeyVault(KEY).seal(USER.encode(), "salt|1"))}, {"kind": "OPERATOR"},
    ],
)  # fmt: skip
def test_whose_token_a_partner_got_is_sealed_for_that_partner(change: dict[str, object]) -> None:
    assert refusal(SIGNING.sign("at+jwt", EXCHANGED | change)).reason is TokenProblem.UNREADABLE


def test_an_unsigned_token_is_refused() -> None:
    body = unsigned({"alg": "none", "kid": SIGNING.kid, "typ": "at+jwt"})
    assert refusal(f"{body}.").reason is TokenProblem.UNREADABLE
    assert refusal(f"{unsigned({'alg': 'none'})}.").reason is TokenProblem.UNREADABLE
    body = unsigned({"alg": "ES256", "kid": SIGNING.kid, "typ": "at+jwt"})
    assert refusal(f"{body}.{base64url(bytes(64))}").reason is TokenProblem.UNREADABLE


@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
def test_an_hmac_under_the_public_key_is_refused(form: str) -> None:
    public = SIGNING.public
    secret = json.dumps(public.as_dict()).encode() if form == "jwk" else public.as_bytes(encoding=form.upper())  # type: ignore[arg-type]  # one of the encodings that joserfc names
    for algorithm in ("HS256", "ES256"):
        body = unsigned({"alg": algorithm, "kid": SIGNING.kid, "typ": "at+jwt"})
        signature = hmac.digest(secret, body.encode(), hashlib.sha256)
        assert refusal(f"{body}.{base64url(signature)}").reason is TokenProblem.UNREADABLE


def test_a_key_that_the_token_brings_along_is_refused() -> None:
    mine = ECKey.generate_key("P-256")
    header = {"alg": "ES256", "kid": SIGNING.kid, "typ": "at+jwt", "jwk": mine.as_dict(private=False)}
    for extra in (header, header | {"jku": "https://evil.test/jwks.json"}, header | {"kid": "../../etc/passwd"}):
        body = unsigned(extra)
        assert refusal(f"{body}.{base64url(bytes(64))}").reason is TokenProblem.UNREADABLE


def test_another_hub_s_token_is_refused() -> None:
    token = UserTokens(Key(b"u" * 32, is_development=True)).issue_user_token(USER, NOW, 600)
    assert refusal(token).reason is TokenProblem.UNREADABLE


def test_a_receipt_under_the_token_key_is_no_token() -> None:
    assert refusal(SIGNING.sign(RECEIPT_TYPE, CLAIMS)).reason is TokenProblem.UNREADABLE


@given(st.data())
def test_a_token_with_one_letter_changed_is_refused(data: st.DataObject) -> None:
    token = SIGNING.sign("at+jwt", CLAIMS)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(codec="ascii").filter(lambda other: other != token[place]))
    assert refusal(token[:place] + letter + token[place + 1 :]).reason is TokenProblem.UNREADABLE


def test_one_token_has_one_text() -> None:
    # The last letter of 64 bytes holds four bits that no decoder needs: a lax one takes 16 texts for one.
    token = SIGNING.sign("at+jwt", CLAIMS)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    taken = []
    for letter in letters:
        try:
            UserTokens(KEY).verify_user_token(token[:-1] + letter, NOW)
            taken.append(letter)
        except TokenRefused:
            pass
    assert taken == [token[-1]]


def test_a_token_that_names_another_key_is_refused() -> None:
    misnamed = SigningKey(KEY, "user tokens")
    misnamed.kid = "another"
    assert refusal(misnamed.sign("at+jwt", CLAIMS)).reason is TokenProblem.UNREADABLE


@given(st.text() | st.text(alphabet="eyJ._-=", max_size=40) | st.just("." * 9999) | st.just("\ud800.x.y"))
def test_rubbish_is_refused(text: str) -> None:
    assert refusal(text).reason is TokenProblem.UNREADABLE


def test_a_refusal_never_holds_the_token() -> None:
    token = SIGNING.sign("at+jwt", CLAIMS | {"aud": "another service"})
    refused = refusal(token)
    assert str(refused) == "this is no token of this hub"
    assert refused.args == ("this is no token of this hub",)
    assert refused.__cause__ is None
    assert refused.__suppress_context__


@pytest.mark.parametrize("lifetime_s", [0, -1, MAX_LIFETIME_S + 1])
def test_a_lifetime_beyond_the_limits_is_refused(lifetime_s: int) -> None:
    with pytest.raises(ValueError, match="a token lives 1 to 2592000 s"):
        UserTokens(KEY).issue_user_token(USER, NOW, lifetime_s)


def test_a_platform_gets_no_user_token() -> None:
    with pytest.raises(ValueError, match="for a user's id"):
        UserTokens(KEY).issue_user_token("plt_" + "0" * 26, NOW, 600)


def test_a_signature_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = UserTokens(KEY)
    token = hub.issue_user_token(USER, NOW, 600)
    first = hub.verify_user_token(token, NOW)
    monkeypatch.setattr(tokens, "verify", None)  # a second check would call it
    assert hub.verify_user_token(token, NOW + 1) is first


def test_what_is_remembered_is_bounded_and_the_longest_unused_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_REMEMBERED", 2)
    hub = UserTokens(KEY)
    first, second, third = (hub.issue_user_token(USER, NOW, lifetime) for lifetime in (1, 2, 3))
    for token in (first, second, first, third):
        hub.verify_user_token(token, NOW)
    monkeypatch.setattr(tokens, "verify", None)
    hub.verify_user_token(first, NOW)
    hub.verify_user_token(third, NOW)
    with pytest.raises(TypeError):
        hub.verify_user_token(second, NOW)


def test_production_refuses_a_token_key_of_development(tmp_path: Path) -> None:
    assert UserTokens.in_folder(tmp_path, is_production=False, draw_seed=lambda: bytes(32)).is_development
    with pytest.raises(KeyRefused, match="not used in production"):
        UserTokens.in_folder(tmp_path, is_production=True, draw_seed=lambda: bytes(32))


# ---- API keys --------------------------------------------------------------------------------------------------

DRAW = Draw(NOW, b"s" * 32)


def test_an_api_key_parses_into_the_id_and_the_secret_whose_hash_is_stored() -> None:
    key = new_api_key(DRAW)
    assert key.id == DRAW.id("key")
    parsed = parse_api_key(key.text)
    assert parsed is not None
    assert parsed[0] == key.id
    assert matches(parsed[1], key.secret_hash)
    assert key.secret_hash == hashlib.sha256(parsed[1].encode()).hexdigest()


def test_an_api_key_has_the_published_form() -> None:
    prefix, mode, id_, secret = new_api_key(DRAW).text.split("_")
    assert (prefix, mode, len(id_), len(secret)) == ("hub", "live", 26, 52)


def test_each_draw_makes_another_key() -> None:
    one, other = new_api_key(DRAW), new_api_key(Draw(NOW, b"z" * 32))
    assert one == new_api_key(DRAW)
    assert one.id != other.id
    assert not matches(one.text[-52:], other.secret_hash)


def test_a_new_key_never_shows_its_text() -> None:
    key = new_api_key(DRAW)
    assert repr(key) == f"NewApiKey(id='{key.id}', secret_hash='{key.secret_hash}')"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text + "\n",
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text.upper(),
        lambda text: text.replace("hub_live", "hub_test"),
        lambda text: text[:-1] + "l",
        lambda text: f" {text}",
        lambda text: f"Bearer {text}",
    ],
)
def test_another_form_is_no_api_key(damage: Any) -> None:
    assert parse_api_key(damage(new_api_key(DRAW).text)) is None


@given(st.text())
def test_no_text_breaks_the_parser_or_matches_a_stored_hash(text: str) -> None:
    assert parse_api_key(text) is None
    assert not matches(text, hash_secret("the secret of a key"))
