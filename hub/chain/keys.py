"""The keys that act on chain, one a role: made at the first start of the embedded chain, brought by the operator to any
other, or held by a signing service.

One file a role in `DIR/keys`: `<role>.key` (hex, for its owner's eyes only) or `<role>.json` (a keystore, version 3,
under a password). No key is ever in a log, an error or the database.
"""

import json
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_keys.backends import get_backend
from eth_keys.backends.coincurve import CoinCurveECCBackend, is_coincurve_available

from hub.chain.rpc import Rpc
from hub.chain.signing import FileKey, Key, remote_key
from hub.domain.records import KeyRole

FOLDER: Final = "keys"
GENESIS: Final = "genesis.json"
# The embedded chain has one for each; whoever brings keys needs these, and more for what else their hub does.
MADE: Final = (
    KeyRole.DEPLOYER,
    KeyRole.GATEWAY,
    KeyRole.REVOKER,
    KeyRole.SELLER,
    KeyRole.PAUSER,
    KeyRole.SIGNER,
)
NEEDED: Final = (KeyRole.DEPLOYER, KeyRole.GATEWAY, KeyRole.REVOKER)
# The owner's transactions are in no table, so nobody else may take its nonces; gateway and signer the contract keeps
# apart.
APART: Final = (
    *((KeyRole.DEPLOYER, role) for role in KeyRole if role is not KeyRole.DEPLOYER),
    (KeyRole.GATEWAY, KeyRole.SIGNER),
)
PAYING: Final = (KeyRole.DEPLOYER, KeyRole.GATEWAY, KeyRole.REVOKER, KeyRole.SELLER, KeyRole.PAUSER)  # for gas
OWNER_ONLY: Final = 0o600
ALLOC_WEI: Final = 10_000 * 10**18  # each on the embedded chain; an anchor costs 0.00005 ether at the node's fees
# Random chain ids lie above every registered one and below what wallets take (MetaMask: 4,503,599,627,370,476).
CHAIN_ID_MIN: Final = 2**40
CHAIN_ID_RANGE: Final = 2**51

# "test test … junk", accounts 0 to 9: everybody has these keys, and robots empty them within seconds on any chain.
WELL_KNOWN: Final = frozenset(
    {
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
        "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
        "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
        "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
        "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc",
        "0x976EA74026E726554dB657fA54763abd0C3a0aa9",
        "0x14dC79964da2C08b23698B3D3cc7Ca32193d9955",
        "0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f",
        "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720",
    }
)


class KeyFault(Exception):
    """A key that is missing, unreadable, open to others, or known to everybody. Says where and what to do."""


@dataclass(frozen=True, slots=True)
class ChainKeys:
    """The keys of this hub by their roles; one key may have several. Its repr shows none."""

    held: Mapping[KeyRole, Key]

    @property
    def deployer(self) -> Key:
        return self.held[KeyRole.DEPLOYER]

    @property
    def gateway(self) -> Key:
        return self.held[KeyRole.GATEWAY]

    def of(self, role: KeyRole) -> Key | None:
        """None: this hub does nothing in this role."""
        return self.held.get(role)


@dataclass(frozen=True, slots=True)
class Outside:
    """What the operator says of keys: passwords of keystore files, and the accounts that a signing service holds."""

    passwords: Mapping[KeyRole, str] = field(default_factory=dict, repr=False)
    service: Rpc | None = None
    addresses: Mapping[KeyRole, str] = field(default_factory=dict)


def prepare_embedded(
    data: Path, *, outside: Outside | None = None, draw: Callable[[int], bytes] = secrets.token_bytes
) -> ChainKeys:
    """The keys of the embedded chain; at the first start they are made, and after them `genesis.json` that funds them.

    Safe to call at each start and by several processes at once: whoever comes first decides. Raises KeyFault, also when
    the deployer's or the gateway's is missing while the chain exists: a new one would have neither money nor roles
    there. Those of other roles are made at any time, as folders of earlier releases have none: see `hub.chain.offices`.
    """
    outside = outside or Outside()
    folder = data / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not (data / GENESIS).exists()
    for role in MADE:
        is_made = is_new or role not in (KeyRole.DEPLOYER, KeyRole.GATEWAY)
        if is_made and role not in outside.addresses and not (folder / f"{role}.json").exists():
            _write_once(folder / f"{role}.key", "0x" + draw(32).hex() + "\n")
    keys = load(data, outside)
    if is_new:
        chain_id = CHAIN_ID_MIN + int.from_bytes(draw(8)) % CHAIN_ID_RANGE
        alloc = {keys.held[role].address: str(ALLOC_WEI) for role in PAYING}
        _write_once(data / GENESIS, json.dumps({"chainId": chain_id, "alloc": alloc}, indent=1) + "\n")
    return keys


def load(data: Path, outside: Outside | None = None) -> ChainKeys:
    """The keys in `data`/keys and at the signing service, for any chain. Raises KeyFault."""
    outside = outside or Outside()
    found = {role: key for role in KeyRole if (key := _key(data / FOLDER, role, outside)) is not None}
    keys = ChainKeys(found)
    for one, other in APART:
        if one in found and other in found and found[one].address == found[other].address:
            raise KeyFault(f"{data / FOLDER}: {one} and {other} are the same account; give each a key of its own")
    return keys


def demand(keys: ChainKeys, role: KeyRole, data: Path, why: str) -> None:
    """For what a setting asks of the hub and only this role can do. Raises KeyFault."""
    if keys.of(role) is None:
        raise KeyFault(f"{data / FOLDER / role}.key is missing: put the {role}'s key there, or its keystore as "
                       f"{role}.json, as {why}")  # fmt: skip


def _key(folder: Path, role: KeyRole, outside: Outside) -> Key | None:
    if (address := outside.addresses.get(role)) is not None:
        if outside.service is None:
            raise KeyFault(f"the {role}'s key is {address}, and HUB_CHAIN_SIGNER_URL does not say who holds it")
        key: Key = remote_key(outside.service, address)
        where = "HUB_CHAIN_SIGNER_ADDRESSES"
    else:
        path = _file_of(folder, role)
        if path is None:
            if role in NEEDED:
                other = "" if role is not KeyRole.REVOKER else ", or link it to gateway.key to let one key do both"
                raise KeyFault(f"{folder / role}.key is missing: put the {role}'s key there, or its keystore as "
                               f"{role}.json{other}")  # fmt: skip
            return None
        key, where = FileKey(_read(path, outside.passwords.get(role, ""))), str(path)
    if key.address in WELL_KNOWN:
        raise KeyFault(f"{where} is a published development key ({key.address}): anybody can use it; make your own")
    return key


def _file_of(folder: Path, role: KeyRole) -> Path | None:
    return next((path for kind in ("json", "key") if (path := folder / f"{role}.{kind}").exists()), None)


def slow_signatures() -> str | None:
    """A line to show at start when signatures are made in pure Python: the same ones, slower. None with coincurve."""
    if is_coincurve_available() and isinstance(get_backend(), CoinCurveECCBackend):
        return None
    return (
        "chain signatures: pure Python, 1.5 to 4 times slower (no coincurve wheel for this Python); results are equal"
    )


def _read(path: Path, password: str) -> LocalAccount:
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyFault(f"{path} can be read by others: chmod 600 it, and change the key if somebody did")
    text = path.read_text(encoding="ascii")
    try:
        is_keystore = path.suffix == ".json"
        key = Account.decrypt(json.loads(text), password) if is_keystore else bytes.fromhex(
            text.strip().removeprefix("0x")
        )
        account: LocalAccount = Account.from_key(key)
    except Exception:  # whatever these libraries raise may quote the key
        raise KeyFault(f"{path} holds no key that can be read; a keystore needs its password") from None
    return account


def _write_once(path: Path, text: str) -> None:
    """Whole and on disk, or not at all; what is there already stays."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # made 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(file.fileno(), OWNER_ONLY)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        os.unlink(name)
