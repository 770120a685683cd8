"""The first block: what `genesis.json` may say, and how it becomes block 0 in an empty database."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from eth.abc import BlockHeaderAPI
from eth.constants import ZERO_HASH32
from eth.db.chain import ChainDB
from eth.rlp.headers import BlockHeader
from eth.vm.chain_context import ChainContext
from eth.vm.forks.cancun.constants import BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CONTRACT_CODE
from eth.vm.forks.prague.constants import HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CONTRACT_CODE
from eth_typing import Address, BlockNumber

from hub.chain.node.database import Buffer, Database
from hub.chain.node.machine import BLOCK_GAS_LIMIT, NodeVM

FILE_NAME: Final = "genesis.json"
STORED_KEY: Final = b"hub:genesis"
FIRST: Final = BlockNumber(0)
INITIAL_BASE_FEE_WEI: Final = 1_000_000_000
CHAIN_ID_MAX: Final = 2**53 - 1  # wallets read it as a JavaScript number
ALLOC_MAX: Final = 1_000  # deployer, gateway and a test's accounts; not an airdrop
WEI_MAX: Final = 2**128 - 1  # far above all ether; leaves room for sums in 256 bits
ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")


class GenesisError(Exception):
    """The genesis is missing, unreadable, or not the one that this database began with."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """Chain id, and who holds how many wei at the start (address → wei)."""

    chain_id: int
    alloc: tuple[tuple[Address, int], ...]

    def as_json(self) -> str:
        """The canonical text, by which two are compared."""
        alloc = {"0x" + address.hex(): str(wei) for address, wei in self.alloc}
        return json.dumps({"chainId": self.chain_id, "alloc": alloc}, sort_keys=True)


def open_genesis(
    database: Database, folder: Path, *, clock: Callable[[], float], draw: Callable[[int], bytes]
) -> tuple[Genesis, BlockHeaderAPI]:
    """The genesis of this database, written now if it is empty. Raises GenesisError."""
    path = folder / FILE_NAME
    given = parse(path.read_bytes()) if path.exists() else None
    if not database.exists(STORED_KEY):
        if given is None:
            raise GenesisError(f"{path} is missing: the first start needs it")
        _write(given, database, timestamp=int(clock()), mix_hash=draw(32))
        return given, ChainDB(database).get_canonical_block_header_by_number(FIRST)
    stored = parse(database[STORED_KEY])
    if given is not None and given != stored:
        raise GenesisError(
            f"{path} does not match the chain in {folder}: the file says {given.as_json()}, "
            f"the chain began with {stored.as_json()}; put the file back or move the chain away"
        )
    return stored, ChainDB(database).get_canonical_block_header_by_number(FIRST)


def parse(text: bytes) -> Genesis:
    """Reads `{"chainId": int, "alloc": {"0x…": "wei"}}`. Raises GenesisError naming what is wrong."""
    try:
        said = json.loads(text)
    except ValueError as error:
        raise GenesisError(f"{FILE_NAME} is not JSON: {error}") from error
    if not isinstance(said, dict) or set(said) != {"chainId", "alloc"}:
        raise GenesisError(f"{FILE_NAME} must hold exactly chainId and alloc")
    chain_id, alloc = said["chainId"], said["alloc"]
    if type(chain_id) is not int or not 1 <= chain_id <= CHAIN_ID_MAX:
        raise GenesisError(f"chainId must be a whole number between 1 and {CHAIN_ID_MAX}")
    if not isinstance(alloc, dict) or len(alloc) > ALLOC_MAX:
        raise GenesisError(f"alloc must map at most {ALLOC_MAX} addresses to wei")
    return Genesis(chain_id, tuple(sorted(_holder(address, wei) for address, wei in alloc.items())))


def _holder(address: str, wei: object) -> tuple[Address, int]:
    if not ADDRESS.fullmatch(address):
        raise GenesisError(f"alloc: {address[:50]!r} is not an address")
    if not isinstance(wei, str) or not wei.isdecimal() or not wei.isascii() or len(wei) > 39 or int(wei) > WEI_MAX:
        raise GenesisError(f"alloc: {address} must hold wei as a decimal string of at most {WEI_MAX}")
    return Address(bytes.fromhex(address[2:])), int(wei)


def _write(genesis: Genesis, database: Database, *, timestamp: int, mix_hash: bytes) -> None:
    buffer = Buffer(database)
    before = BlockHeader(difficulty=0, block_number=-1, gas_limit=0)
    state = NodeVM.build_state(buffer, before, ChainContext(genesis.chain_id))
    for address, wei in genesis.alloc:
        state.set_balance(address, wei)
    for address, code in (
        (BEACON_ROOTS_ADDRESS, BEACON_ROOTS_CONTRACT_CODE),
        (HISTORY_STORAGE_ADDRESS, HISTORY_STORAGE_CONTRACT_CODE),
    ):
        state.set_code(address, code)
        state.set_nonce(address, 1)
    state.persist()
    header = NodeVM.create_genesis_header(
        gas_limit=BLOCK_GAS_LIMIT,
        timestamp=timestamp,
        base_fee_per_gas=INITIAL_BASE_FEE_WEI,
        parent_beacon_block_root=ZERO_HASH32,
        mix_hash=mix_hash,
        state_root=state.state_root,
    )
    ChainDB(buffer).persist_header(header)
    buffer[STORED_KEY] = genesis.as_json().encode()
    database.commit(buffer)
