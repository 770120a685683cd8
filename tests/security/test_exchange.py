"""Partners' signatures: which are taken, every trick with header and keys, and when a key set is asked for again."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import ECKey, OKPKey, RSAKey

from hub.domain.issuers import ALGORITHMS, KeySource
from hub.ports import KeysUnavailable, SignatureNotTaken
from hub.security.exchange import FRESH_US, MAX_DOCUMENT, MAX_TOKEN, REFETCH_US, RETRY_US, STALE_US, PartnerKeys
from tests.partners import KeyPair, Partner, offline_partners
from tests.world import START_US

NOW = START_US
URL = "https://xue.example/jwks.json"
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
RSA = RSAKey.generate_key(2048, {"kid": "k-1"}, auto_kid=False)
KEYS: dict[str, Callable[[], KeyPair]] = {
    "ES256": lambda: ECKey.generate_key("P-256", {"kid": "k-1"}, auto_kid=False),
    "ES384": lambda: ECKey.generate_key("P-384", {"kid": "k-1"}, auto_kid=False),
    "ES512": lambda: ECKey.generate_key("P-521", {"kid": "k-1"}, auto_kid=False),
    "Ed25519": lambda: OKPKey.generate_key("Ed25519", {"kid": "k-1"}, auto_kid=False),
}
PARTNER = Partner("plt_1")
SET = KeySource(jwks=PARTNER.jwks)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def parted(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    segments = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split(".")]
    return json.loads(segments[0]), json.loads(segments[1]), segments[2]


async def refusal(text: str, source: KeySource = SET, algorithms: tuple[str, ...] = ("ES256",)) -> str:
    with pytest.raises(SignatureNotTaken) as refused:
        await offline_partners().signed(text, source, algorithms, NOW)
    return str(refused.value)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_every_algorithm_of_the_list_is_verified_under_its_own_keys_alone(algorithm: str) -> None:
    kind = "Ed25519" if algorithm == "EdDSA" else algorithm
    key = KEYS[kind]() if kind in KEYS else RSA
    signer = Partner("plt_1", key=key, algorithm=kind)
    token = signer.subject_token()
    if algorithm == "EdDSA":  # the older name of the same signature
        token = eddsa(signer)
    signed = await offline_partners().signed(token, KeySource(jwks=signer.jwks), (algorithm,), NOW)
    assert (signed.claims["sub"], signed.kind) == ("m-1", "jwt")
    assert signed.digest == hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
    others = tuple(name for name in ALGORITHMS if name not in (algorithm, "EdDSA", "Ed25519"))
    assert await refusal(token, KeySource(jwks=signer.jwks), others) == "alg is none of those that are agreed on"
    stranger = Partner("plt_1", key=RSAKey.generate_key(2048, {"kid": "k-1"}) if key is RSA else KEYS[kind]())
    assert await refusal(token, KeySource(jwks=stranger.jwks), (algorithm,)) == "the signature does not fit"


def eddsa(signer: Partner) -> str:
    header, claims, _ = parted(signer.subject_token())
    words = ".".join(base64url(json.dumps(part).encode()) for part in (header | {"alg": "EdDSA"}, claims))
    assert isinstance(signer.key, OKPKey)
    private: Any = signer.key.private_key
    return f"{words}.{base64url(private.sign(words.encode()))}"


@pytest.mark.parametrize("algorithm", ["none", "None", "", "HS256", "HS512", "ES256K", "RS1", 7, None, ["ES256"]])
async def test_no_algorithm_but_the_agreed_ones(algorithm: Any) -> None:
    header, claims, signature = parted(PARTNER.subject_token())
    words = ".".join(base64url(json.dumps(part).encode()) for part in (header | {"alg": algorithm}, claims))
    for end in ("", base64url(signature), base64url(hmac.digest(PARTNER.jwks.encode(), words.encode(), "sha256"))):
        told = await refusal(f"{words}.{end}", algorithms=(*ALGORITHMS, "none", "HS256", "HS512"))
        assert told == "alg is none of those that are agreed on"


async def test_the_public_key_is_no_shared_secret() -> None:
    """The old confusion: an HMAC under the text of the public key, which everybody has."""
    signer = Partner("plt_1", key=RSA, algorithm="RS256")
    header, claims, _ = parted(signer.subject_token())
    words = ".".join(base64url(json.dumps(part).encode()) for part in (header | {"alg": "HS256"}, claims))
    for secret in (RSA.as_pem(private=False), signer.jwks.encode()):
        forged = f"{words}.{base64url(hmac.digest(secret, words.encode(), 'sha256'))}"
        assert "alg" in await refusal(forged, KeySource(jwks=signer.jwks), ("RS256",))


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "../../etc/passwd"}, {"kid": "https://evil.example/jwks"}, {"kid": "k-1' OR 1=1"}, {"kid": ""},
        {"jku": "https://evil.example/jwks"}, {"x5u": "https://evil.example/x5"},
    ],
)  # fmt: skip
async def test_what_stands_in_a_header_is_followed_nowhere(header: dict[str, str]) -> None:
    asked: list[str] = []
    evil = Partner("plt_evil")

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, text=PARTNER.jwks if str(request.url) == URL else evil.jwks)

    partners = offline_partners(answer)
    with pytest.raises(SignatureNotTaken):
        await partners.signed(evil.subject_token(header=header), KeySource(url=URL), ("ES256",), NOW)
    assert set(asked) == {URL}


async def test_a_key_that_comes_with_the_token_is_not_its_proof() -> None:
    evil = Partner("plt_evil")
    own = evil.key.as_dict(private=False)
    for header in ({"jwk": own}, {"jwk": own, "kid": None}, {"x5c": ["MIIB"]}):
        assert await refusal(evil.subject_token(header=header)) == "the signature does not fit"
    mine = await offline_partners().signed(PARTNER.subject_token(header={"jwk": own}), SET, ("ES256",), NOW)
    assert mine.claims["sub"] == "m-1"


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"b64": False}, {"crit": [], "b64": True}])
async def test_what_a_header_demands_and_nobody_here_understands_is_refused(header: dict[str, Any]) -> None:
    token_header, claims, _ = parted(PARTNER.subject_token())
    words = ".".join(base64url(json.dumps(part).encode()) for part in (token_header | header, claims))
    assert await refusal(f"{words}.{base64url(b's' * 64)}") == "its header demands what is not understood here"


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "...", "a.b.c", "e30.e30.", "e30.e30.!!", "知.识.付", "\ud800.e30.e30", "x" * (MAX_TOKEN + 1),
        base64url(b'{"alg":"ES256"}') + ".W10." + base64url(b"s" * 64),
        base64url(b'["ES256"]') + ".e30." + base64url(b"s" * 64),
        base64url(b"[" * 3000) + ".e30." + base64url(b"s"),
        base64url(b'{"alg":"ES256","a":' + b"1" * 1500 + b"}") + ".e30." + base64url(b"s"),
    ],
)  # fmt: skip
async def test_what_is_no_token_is_refused_and_never_repeated(text: str) -> None:
    told = await refusal(text)
    assert text == "" or text not in told or text in (".", "..", "...")
    assert offline_partners().said(text, "iss") is None


async def test_altered_words_do_not_fit_and_another_form_of_the_signature_is_the_same_word() -> None:
    token = PARTNER.subject_token(jti=None)
    header, claims, signature = parted(token)
    words = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims | {"sub": "m-2"}))
    assert await refusal(f"{words}.{base64url(signature)}") == "the signature does not fit"
    s = P256_ORDER - int.from_bytes(signature[32:])
    twin = f"{token.rpartition('.')[0]}.{base64url(signature[:32] + s.to_bytes(32))}"
    assert twin != token
    one, other = [await offline_partners().signed(text, SET, ("ES256",), NOW) for text in (token, twin)]
    assert one.digest == other.digest


@pytest.mark.parametrize(
    "change",
    [
        {"use": "enc"}, {"alg": "ES384"}, {"key_ops": ["encrypt"]}, {"kty": "oct", "k": "c2VjcmV0"}, {"crv": "P-999"},
        {"x": "!"}, {"x": "AA"}, {"kid": 7}, {"kid": "k-2"}, {"d": "AA"},
    ],
)  # fmt: skip
async def test_keys_that_are_not_meant_or_not_fit_for_this_are_passed_over(change: dict[str, Any]) -> None:
    odd = PARTNER.key.as_dict(private=False) | change
    assert await refusal(PARTNER.subject_token(), KeySource(jwks=json.dumps({"keys": [odd]}))) == (
        "the signature does not fit"
    )
    both = json.dumps({"keys": [odd, PARTNER.key.as_dict(private=False), 7, None]})
    signed = await offline_partners().signed(PARTNER.subject_token(), KeySource(jwks=both), ("ES256",), NOW)
    assert signed.claims["sub"] == "m-1"


@pytest.mark.parametrize(("bits", "is_taken"), [(1024, False), (2048, True)])
async def test_a_weak_key_is_no_key(bits: int, is_taken: bool) -> None:
    numbers = rsa.generate_private_key(65537, bits).public_key().public_numbers()
    n, e = (base64url(number.to_bytes((number.bit_length() + 7) // 8)) for number in (numbers.n, numbers.e))
    source = KeySource(jwks=json.dumps({"keys": [{"kty": "RSA", "n": n, "e": e, "kid": "k-1"}]}))
    assert (offline_partners().source_fault(source) is None) is is_taken


async def test_without_a_kid_there_must_be_no_choice() -> None:
    token = PARTNER.subject_token(header={"kid": None})
    assert (await offline_partners().signed(token, SET, ("ES256",), NOW)).claims["sub"] == "m-1"
    two = json.dumps({"keys": [PARTNER.key.as_dict(private=False), Partner("plt_2").key.as_dict(private=False)]})
    assert await refusal(token, KeySource(jwks=two)) == "the signature does not fit"


# ---- key sets by address ---------------------------------------------------------------------------------------------


@dataclass
class Site:
    """Where a partner publishes its keys."""

    answer: Callable[[], httpx.Response] = lambda: httpx.Response(200, text=PARTNER.jwks)
    asked: int = 0
    partners: PartnerKeys = field(init=False)

    def __post_init__(self) -> None:
        self.partners = offline_partners(self._take)

    def _take(self, _request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return self.answer()

    async def ask(self, at_us: int, token: str | None = None) -> str:
        signed = await self.partners.signed(token or PARTNER.subject_token(), KeySource(url=URL), ("ES256",), at_us)
        return str(signed.claims["sub"])


async def test_a_key_set_is_fetched_once_and_again_when_it_is_ten_minutes_old() -> None:
    site = Site()
    for at_us, asked in ((NOW, 1), (NOW + 1, 1), (NOW + FRESH_US - 1, 1), (NOW + FRESH_US, 2)):
        assert await site.ask(at_us) == "m-1"
        assert site.asked == asked
    assert FRESH_US == 600_000_000


async def test_an_unknown_kid_asks_once_a_minute_however_often_it_comes() -> None:
    site, new = Site(), Partner("plt_1", key=ECKey.generate_key("P-256", {"kid": "k-2"}, auto_kid=False))
    await site.ask(NOW)
    for at_us, asked in ((NOW + 1, 1), (NOW + REFETCH_US - 1, 1), (NOW + REFETCH_US, 2), (NOW + REFETCH_US + 9, 2)):
        with pytest.raises(SignatureNotTaken):
            await site.ask(at_us, new.subject_token())
        assert site.asked == asked
    site.answer = lambda: httpx.Response(200, text=new.jwks)  # the partner has turned its key
    assert await site.ask(NOW + 2 * REFETCH_US, new.subject_token()) == "m-1"
    with pytest.raises(SignatureNotTaken):
        await site.ask(NOW + 2 * REFETCH_US)  # and the old one counts no more
    assert REFETCH_US == 60_000_000


@pytest.mark.parametrize(
    "answer",
    [
        lambda: httpx.Response(500), lambda: httpx.Response(302, headers={"location": "http://169.254.169.254/"}),
        lambda: httpx.Response(200, text="<html>"), lambda: httpx.Response(200, text='{"keys": []}'),
        lambda: httpx.Response(200, content=b"[" * 5000),
        lambda: httpx.Response(200, content=b"x" * (MAX_DOCUMENT + 1)),
        lambda: httpx.Response(200, headers={"content-encoding": "gzip"}, content=b""),
    ],
    ids=["500", "redirect", "html", "empty", "nested", "long", "packed"],
)  # fmt: skip
async def test_a_site_that_does_not_answer_well_changes_nothing_for_a_day(
    answer: Callable[[], httpx.Response],
) -> None:
    site = Site()
    await site.ask(NOW)
    site.answer = answer
    assert await site.ask(NOW + FRESH_US) == "m-1"
    assert await site.ask(NOW + FRESH_US + RETRY_US - 1) == "m-1"
    assert site.asked == 2
    assert await site.ask(NOW + STALE_US - 1) == "m-1"
    with pytest.raises(KeysUnavailable):
        await site.ask(NOW + STALE_US)
    assert STALE_US == 24 * 3600 * 1_000_000


async def test_a_site_that_was_never_there_is_unavailable_and_asked_again_soon() -> None:
    site = Site(lambda: httpx.Response(503))
    for at_us, asked in ((NOW, 1), (NOW + 1, 1), (NOW + RETRY_US, 2)):
        with pytest.raises(KeysUnavailable):
            await site.ask(at_us)
        assert site.asked == asked
    site.answer = lambda: httpx.Response(200, text=PARTNER.jwks)
    assert await site.ask(NOW + 2 * RETRY_US) == "m-1"


async def test_a_clock_that_jumps_back_asks_anew_rather_than_trusting_for_longer() -> None:
    site = Site()
    await site.ask(NOW)
    assert await site.ask(NOW - FRESH_US) == "m-1"
    assert site.asked == 2


@pytest.mark.parametrize(
    ("url", "is_taken"),
    [
        (URL, True), ("https://xue.example:8443/a?b=c", True), ("http://127.0.0.1:8000/jwks", True),
        ("http://xue.example/jwks", False), ("http://127.0.0.1.evil.example/", False), ("ftp://127.0.0.1/", False),
        ("file:///etc/passwd", False), ("https://", False), ("https://a:b@xue.example/", False),
        ("https://x y/", False),
        ("https://[::1", False), ("https://xue.example/#f", False), ("//xue.example", False), ("", False),
        ("https://xue.example:99999/", False),
    ],
)  # fmt: skip
async def test_key_sets_come_over_tls_but_from_the_named_hosts(url: str, is_taken: bool) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(200, text=PARTNER.jwks)

    partners = offline_partners(answer)
    assert (partners.source_fault(KeySource(url=url)) is None) is is_taken
    if not is_taken:  # nor is it asked if it stands in the table, set by other settings
        with pytest.raises(KeysUnavailable):
            await partners.signed(PARTNER.subject_token(), KeySource(url=url), ("ES256",), NOW)
        assert asked == []


async def test_of_many_who_wait_for_a_key_set_one_asks() -> None:
    site = Site()
    assert await asyncio.gather(*(site.ask(NOW) for _ in range(20))) == ["m-1"] * 20
    assert site.asked == 1
