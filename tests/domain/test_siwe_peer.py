"""Our reader and writer of EIP-4361 beside the reference's: the same texts, fields and noes."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_hash.auto import keccak

from hub.domain.siwe import SiweMessage, SiweRefused, parse
from tests.domain.test_siwe import BARE, MESSAGE, OF_THE_EIP
from tests.entry.npm import installed

pytestmark = pytest.mark.browser
PEER = Path(__file__).parents[1] / "peers" / "siwe"
GOOD = (
    MESSAGE, BARE, replace(BARE, statement="Hello: (world) [1] ~!"), replace(BARE, request_id="a-b"),
    replace(BARE, resources=("https://a.example/x?y=z#w", "ipfs://bafy")), replace(BARE, chain_id=31337),
    replace(BARE, domain="localhost:8000", uri="http://localhost:8000/x"),
)  # fmt: skip
TOUCHES = (
    ("wants you", "wants  you"), ("Version: 1", "Version: 2"), ("Nonce: ", "Nonce:"), ("n0nce9876", "n0nce98"),
    ("Chain ID: 31337", "Chain ID: x"), ("URI: https", "URI: ://"), ("Issued At: 2026", "Issued At: 20"),
    ("0x", "0y"), ("your account.", "your\naccount."), ("Resources:", "Resource:"), ("- ipfs", "* ipfs"),
    ("Expiration Time", "Expires"), ("\n\nURI", "\nURI"), ("app.example:8443 wants", " wants"),
)  # fmt: skip


def asked(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the reference says of each."""
    folder = installed(PEER)
    program = ["node", "siwe.mjs"]
    said = subprocess.run(
        program, cwd=folder, input=json.dumps(cases), capture_output=True, text=True, timeout=60, check=True
    )
    told: list[dict[str, Any]] = json.loads(said.stdout)
    return told


def of(message: SiweMessage) -> dict[str, Any]:
    return {
        "domain": message.domain, "address": message.address, "uri": message.uri, "chainId": message.chain_id,
        "nonce": message.nonce, "issuedAt": message.issued_at, "statement": message.statement,
    }  # fmt: skip


def test_both_read_our_texts_alike_and_write_them_again() -> None:
    texts = [message.text for message in GOOD] + [OF_THE_EIP.replace("https://example.com wants", "example.com wants")]
    for text, told in zip(texts, asked([{"text": text} for text in texts]), strict=True):
        ours = parse(text, keccak)
        assert told == {"text": text, **of(ours)}
        assert ours.text == text


def test_what_the_reference_writes_is_ours_to_read() -> None:
    fields = [of(message) | {"version": "1"} for message in GOOD]
    plain = [{name: value for name, value in one.items() if value is not None} for one in fields]
    for message, told in zip(GOOD, asked([{"fields": one} for one in plain]), strict=True):
        bare = replace(message, expiration_time=None, not_before=None, request_id=None, resources=None)
        assert parse(told["text"], keccak) == bare


def test_both_refuse_what_was_touched() -> None:
    texts = [MESSAGE.text.replace(was, becomes, 1) for was, becomes in TOUCHES]
    for text, told in zip(texts, asked([{"text": text} for text in texts]), strict=True):
        assert text != MESSAGE.text
        with pytest.raises(SiweRefused):
            parse(text, keccak)
        assert "refused" in told, text
