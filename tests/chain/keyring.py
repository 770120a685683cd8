"""Accounts as a hub holds its keys: all in this process, by role."""

from eth_account.signers.local import LocalAccount

from hub.chain.keys import ChainKeys
from hub.chain.signing import FileKey, Key
from hub.domain.records import KeyRole


def keyring(deployer: LocalAccount, gateway: LocalAccount, **others: LocalAccount) -> ChainKeys:
    """The gateway's key does what others are for too, unless those are given."""
    held = {"deployer": deployer} | dict.fromkeys(("gateway", "revoker", "seller", "pauser"), gateway) | others
    return ChainKeys({KeyRole(role): FileKey(account) for role, account in held.items()})


def account_of(key: Key) -> LocalAccount:
    """The account behind a key that lies in a file."""
    assert isinstance(key, FileKey)
    return key.account
