"""EIP-4361 letter by letter: what is a message, what is none, and what speaks against one."""

from dataclasses import replace

import pytest
from eth_hash.auto import keccak
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hub.domain.siwe import MAX_MESSAGE, SiweMessage, SiweRefused, checksummed, fault_of, instant, moment_us, parse
from tests.wallets import account
from tests.world import START_US

ADDRESS = account().address
MESSAGE = SiweMessage(
    domain="app.example:8443",
    address=ADDRESS,
    uri="https://app.example:8443/link?from=menu#top",
    chain_id=31337,
    nonce="n0nce9876",
    issued_at="2026-01-01T00:00:00.000Z",
    statement="Link this wallet to your account.",
    expiration_time="2026-01-01T01:05:00+01:00",
    not_before="2025-12-31T23:59:59Z",
    request_id="id-7",
    resources=("ipfs://bafy/", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66"),
)
BARE = SiweMessage("app.example", ADDRESS, "https://app.example", 1, "abcdefgh", "2026-01-01T00:00:00Z")
SAID = {
    "origins": ("https://app.example:8443",), "chain_id": 31337, "address": ADDRESS, "now_us": START_US,
}  # fmt: skip

# The texts of EIP-4361 itself, and of EIP-55.
OF_THE_EIP = """\
https://example.com wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

I accept the ExampleOrg Terms of Service: https://example.com/tos

URI: https://example.com/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24Z
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json"""
CHECKSUMMED = (
    "0x52908400098527886E0F7030069857D2E4169EE7", "0xde709f2102306220921060314715629080e2fb77",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB", "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
)  # fmt: skip


def test_the_message_of_the_eip_is_read_field_by_field() -> None:
    said = parse(OF_THE_EIP, keccak)
    assert (said.scheme, said.domain, said.chain_id, said.nonce) == ("https", "example.com", 1, "32891756")
    assert said.statement == "I accept the ExampleOrg Terms of Service: https://example.com/tos"
    assert said.resources is not None
    assert said.resources[1] == "https://example.com/my-web2-claim.json"
    assert said.text == OF_THE_EIP


@pytest.mark.parametrize("address", CHECKSUMMED)
def test_addresses_are_spelt_as_eip_55_does(address: str) -> None:
    assert checksummed(address.lower(), keccak) == address == checksummed(address, keccak)


@pytest.mark.parametrize(
    "message",
    [
        MESSAGE, BARE, replace(BARE, resources=()), replace(BARE, request_id=""), replace(MESSAGE, scheme="https"),
        replace(BARE, domain="[2001:db8::1]:80", uri="http://[2001:db8::1]:80/"), replace(BARE, uri="did:key:z6Mk"),
    ],
)  # fmt: skip
def test_what_is_written_is_read_again(message: SiweMessage) -> None:
    assert parse(message.text, keccak) == message


TEXT = MESSAGE.text


@pytest.mark.parametrize(
    "text",
    [
        "", "\n", TEXT + "\n", TEXT + " ", TEXT + "\nx", " " + TEXT, "\n" + TEXT, TEXT.replace("\n", "\r\n"),
        TEXT.replace("wants you", "wants  you"), TEXT.replace("URI: ", "URI:"), TEXT.replace("URI: ", "uri: "),
        TEXT.replace("Version: 1", "Version: 2"), TEXT.replace("Version: 1", "Version: 11"),
        TEXT.replace("Chain ID: 31337", "Chain ID: 0x7a69"), TEXT.replace("Chain ID: 31337", "Chain ID: -1"),
        TEXT.replace("Chain ID: 31337", "Chain ID: " + "9" * 40), TEXT.replace("31337", "٣١٣٣٧"),
        TEXT.replace("n0nce9876", "n0nce98"), TEXT.replace("n0nce9876", "n0nce-9876"), TEXT.replace("n0nce9876", ""),
        TEXT.replace(ADDRESS, ADDRESS.lower()), TEXT.replace(ADDRESS, ADDRESS.upper().replace("X", "x")),
        TEXT.replace(ADDRESS, ADDRESS[:-1]), TEXT.replace(ADDRESS, ADDRESS + "0"),
        TEXT.replace("00:00:00.000Z", "00:00:00"), TEXT.replace("00:00:00.000Z", "24:00:00Z"),
        TEXT.replace("2026-01-01T00:00:00.000Z", "2026-02-30T00:00:00Z"),
        TEXT.replace("2026-01-01T00:00:00.000Z", "2026-01-01 00:00:00Z"), TEXT.replace(".000Z", ".Z"),
        TEXT.replace("+01:00", "+0100"), TEXT.replace("+01:00", "+25:00"),
        TEXT.replace("https://app.example:8443/link", "//app.example:8443/link"),
        TEXT.replace("https://app.example:8443/link", "https://app example/link"),
        TEXT.replace("#top", "#top#again"), TEXT.replace("- ipfs", "* ipfs"), TEXT.replace("- ipfs", "-ipfs"),
        TEXT.replace("menu", "%zz"), TEXT.replace("id-7", "id 7"), TEXT.replace("id-7", 'id"7'),
        TEXT.replace("your account.", "your account.\nAnd more."), TEXT.replace("your account.", "your “account”."),
        TEXT.replace("Link this wallet to your account.\n", "\n"), TEXT.replace("Nonce", "Nounce"),
        TEXT.replace("Expiration Time", "Not Before", 1), TEXT.replace("app.example:8443 wants", " wants"),
        TEXT.replace("app.example:8443 wants", "app.example/evil wants"), TEXT.replace("Resources:", "Resources: "),
        TEXT.replace("app.example:8443", "[::g]:80"), "x" * (MAX_MESSAGE + 1),
        "\n".join(reversed(TEXT.split("\n"))), TEXT.replace("\nNonce: n0nce9876", "") + "\nNonce: n0nce9876",
    ],
)  # fmt: skip
def test_what_is_not_letter_by_letter_a_message_is_refused(text: str) -> None:
    assert text != TEXT
    with pytest.raises(SiweRefused):
        parse(text, keccak)


def test_a_message_that_fits_is_taken() -> None:
    assert fault_of(MESSAGE, **SAID) is None
    assert fault_of(replace(MESSAGE, scheme="https"), **SAID) is None
    assert fault_of(replace(MESSAGE, expiration_time=None, not_before=None), **SAID) is None


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"domain": "evil.example"}, "domain"), ({"domain": "app.example"}, "domain"),
        ({"domain": "me@app.example:8443"}, "domain"), ({"uri": "https://evil.example/"}, "URI"),
        ({"uri": "http://app.example:8443/"}, "URI"), ({"uri": "https://app.example:8443@evil.example/"}, "URI"),
        ({"uri": "did:key:z6Mk"}, "URI"), ({"scheme": "http"}, "scheme"), ({"chain_id": 1}, "chain 1"),
        ({"address": account(2).address}, "address"), ({"issued_at": "2026-01-01T00:00:31Z"}, "future"),
        ({"expiration_time": "2026-01-01T00:00:00Z"}, "over"), ({"not_before": "2026-01-01T00:00:00.001Z"}, "not come"),
    ],
)  # fmt: skip
def test_what_speaks_against_a_message_is_named(changed: dict[str, object], word: str) -> None:
    fault = fault_of(replace(MESSAGE, **changed), **SAID)  # type: ignore[arg-type]  # fields of many types in one table
    assert fault is not None
    assert word in fault


def test_one_page_of_two_does_not_speak_for_the_other() -> None:
    said = SAID | {"origins": ("https://app.example:8443", "https://other.example")}
    other = replace(MESSAGE, uri="https://other.example/x")
    assert fault_of(other, **said) is not None  # type: ignore[arg-type]  # fields of many types in one table


@pytest.mark.parametrize(
    ("time", "moment"),
    [
        ("2026-01-01T00:00:00Z", START_US), ("2026-01-01T01:00:00+01:00", START_US),
        ("2025-12-31T18:30:00.5-05:30", START_US + 500_000), ("2026-01-01T00:00:00.1234567Z", START_US + 123_456),
        ("1969-12-31T23:59:59Z", -1_000_000),
    ],
)  # fmt: skip
def test_times_with_any_zone_are_moments(time: str, moment: int) -> None:
    assert moment_us(time) == moment


@given(st.integers(0, 4_102_444_800_000_000))
def test_moments_are_written_to_the_millisecond(at_us: int) -> None:
    assert moment_us(instant(at_us)) == at_us // 1000 * 1000


@given(st.text(max_size=300))
@example("a://b wants you to sign in with your Ethereum account:\n")
def test_no_text_whatever_makes_the_reader_fall(text: str) -> None:
    with pytest.raises(SiweRefused):
        parse(text, keccak)


@settings(max_examples=200)
@given(st.data())
def test_a_message_that_was_touched_is_refused_or_says_something_else(data: st.DataObject) -> None:
    """No two texts are one message: what was signed is what is read."""
    at = data.draw(st.integers(0, len(TEXT) - 1))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.text(alphabet=st.sampled_from("\n :/-.Z01aA#%[]\r\t\0é"), max_size=3))
    touched = TEXT[:at] + put + TEXT[at + cut :]
    try:
        said = parse(touched, keccak)
    except SiweRefused:
        return
    assert said.text == touched
    assert (said == MESSAGE) == (touched == TEXT)


fields = st.builds(
    SiweMessage,
    domain=st.sampled_from(("a", "app.example", "localhost:8000", "[::1]:443", "xn--fiqs8s.example")),
    address=st.sampled_from(CHECKSUMMED),
    uri=st.sampled_from(("https://a", "http://app.example/x//y?z=1&q#", "urn:a:b", "mailto:a@b.example", "x:/y")),
    chain_id=st.integers(0, 2**63 - 1),
    nonce=st.from_regex(r"[a-zA-Z0-9]{8,20}", fullmatch=True),
    issued_at=st.integers(0, 4_102_444_800_000_000).map(instant),
    statement=st.none() | st.from_regex(r"[ -!#-$&-;=?-Z\[\]_a-z~]{1,60}", fullmatch=True),
    expiration_time=st.none() | st.integers(0, 4_102_444_800_000_000).map(instant),
    request_id=st.none() | st.from_regex(r"[a-zA-Z0-9:@]{0,9}", fullmatch=True),
    resources=st.none() | st.lists(st.from_regex(r"ipfs://[a-z0-9]{1,9}", fullmatch=True), max_size=3).map(tuple),
)


@given(fields)
def test_every_message_is_read_as_it_was_written(message: SiweMessage) -> None:
    assert parse(message.text, keccak) == message
