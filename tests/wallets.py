"""Wallets of tests: keys that are made of a number, and what they sign."""

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

PAGE = "http://127.0.0.1:8000"  # the only page that may ask, unless a hub is told of others


def account(number: int = 1) -> LocalAccount:
    """The same number, the same wallet."""
    made: LocalAccount = Account.from_key(number.to_bytes(32))
    return made


def signed(text: str, number: int = 1) -> bytes:
    """What the wallet gives for a text (personal_sign)."""
    return bytes(account(number).sign_message(encode_defunct(text=text)).signature)
