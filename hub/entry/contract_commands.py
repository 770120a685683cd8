"""`hub contracts status`, and the hands on a contract: roles, pause, signers, a new owner, the end of a root.

Each act can be printed instead of sent: an owner who is a multisig or a timelock sends it by its own means.
"""

import asyncio
import re
import time
from collections.abc import Sequence
from typing import Any, Final

from eth_utils.address import is_address, is_checksum_address, to_checksum_address

from contracts import abi
from hub.chain.calls import said
from hub.chain.client import JsonRpcChain
from hub.chain.offices import owner_calls
from hub.chain.rpc import Question
from hub.domain.contracts import ENTITLEMENT_HUB, NOBODY, ROLES, role_names
from hub.domain.records import KeyRole, KnownContract
from hub.entry.chain import ChainSide, bring_up
from hub.entry.commands import opened
from hub.entry.complaints import Complaint
from hub.entry.settings import Settings
from hub.entry.token_metadata import metadata_uri, uri_in
from hub.flows.sending import finished
from hub.ports import ChainReceipt, ChainUnavailable, Hub

GRACE_S: Final = 3_600  # a removed signer's results under way are settled by then; the contract takes 7 days at most
# Whose key does what; everything else is the owner's.
DOES: Final = {"pause": KeyRole.PAUSER, "unpause": KeyRole.PAUSER, "revoke-root": KeyRole.REVOKER}
TAG_BYTES: Final = 20  # of a root, or of a settled order's hashed key: what the contract keeps revocations by
# What a CheckoutSplitter knows too; the rest is EntitlementHub's alone.
OF_BOTH: Final = frozenset({"pause", "unpause", "set-roles", "propose-owner", "accept-owner"})
SENT_WITHIN_S: Final = 180.0
ASK_EVERY_S: Final = 0.25


async def act(settings: Settings, action: str, words: Sequence[str], *, at: str | None, prints: bool) -> int:
    """One call of a contract by whose it is: of the EntitlementHub in use, or of the recorded one `at` an address.
    `prints` shows where to send what, and sends nothing."""
    if action == "set-uri" and not words:
        words = [metadata_uri(settings.public_url)]
    async with opened(settings) as (hub, side):
        present = await bring_up(hub, side)
        contract = present if at is None else await _recorded(hub, address_in(at))
        data = call_of(action, words, contract.name)
        if action == "revoke-root":
            await demand_foreign(hub, contract.address, root_in(words[0]))
        if action == "set-successor" and list(words) == [contract.address]:
            raise Complaint(f"{contract.address} is the contract in use: `hub contracts deploy --succeeds` lets the "
                            "one before name it")  # fmt: skip
        if prints:
            print(f"to    {contract.address}\nchain {contract.chain_id}\ndata  0x{data.hex()}")
            return 0
        if action in DOES:
            receipt = await _by(DOES[action], hub, contract.address, action, data)
        else:
            receipt = await owner_calls(side.client, side.keys, contract.address, data)
    print(f"hub: {action} is done in block {receipt.block_number} by {receipt.hash}")
    return 0


async def _recorded(hub: Hub, address: str) -> KnownContract:
    async with hub.store.reading() as rx:
        for one in await rx.anchors.contracts(hub.chain.chain_id):
            if one.address == address:
                return one
    raise Complaint(f"{address} is no contract of this hub: `hub contracts status` names them")


def call_of(action: str, words: Sequence[str], contract: str = ENTITLEMENT_HUB) -> bytes:
    """The calldata of an act at the contract of that name. Raises Complaint for words that do not fit it."""
    if contract not in ROLES or (contract != ENTITLEMENT_HUB and action not in OF_BOTH):
        raise Complaint(f"a {contract} knows no {action}")

    def _call(function: str, *arguments: object) -> bytes:
        return abi.call(contract, function, *arguments)

    match action, list(words):
        case ("pause" | "unpause" | "accept-owner"), []:
            return _call({"accept-owner": "acceptOwner"}.get(action, action))
        case "set-roles", [account, *names]:
            return _call("setRole", address_in(account), sum(_role(contract, name) for name in dict.fromkeys(names)))
        case "rotate-signer", [old, new]:
            return _call("rotateSigner", address_in(old), address_in(new), int(time.time()) + GRACE_S)
        case "propose-owner", [account]:
            return _call("proposeOwner", address_in(account))
        case "set-successor", [account]:
            return _call("setSuccessor", address_in(account))
        case "revoke-root", [root]:
            return _call("revokeRoot", root_in(root))
        case "set-uri", [uri]:
            return _call("setUri", uri_in(uri))
    raise Complaint(f"`hub contracts {action}` takes other words: see `hub contracts --help`")


def address_in(text: str) -> str:
    if not is_checksum_address(text):
        raise Complaint(f"{text!r} is no address with its checksum (EIP-55): a mistyped one would be lost")
    return text


def root_in(text: str) -> bytes:
    if not re.fullmatch("0x[0-9a-fA-F]{64}", text):
        raise Complaint(f"{text!r} is no root: 0x and 64 hexadecimal digits")
    return bytes.fromhex(text[2:])


def _role(contract: str, name: str) -> int:
    roles = {role.name.lower(): role.value for role in ROLES[contract]}
    if name not in roles:
        raise Complaint(f"{name!r} is no role of a {contract}: {', '.join(roles)}")
    return roles[name]


async def demand_foreign(hub: Hub, contract: str, root: bytes) -> None:
    """Refuse a root that shares its revocations with rights of ours there: the books would keep what the chain ends, as
    what the hub itself has sent is known to them. Raises Complaint."""
    async with hub.store.reading() as rx:
        ours = await rx.anchors.batches_at(contract)
    for batch in ours:
        if (hub.vault.keccak(batch.root) if batch.is_settlement else batch.root)[:TAG_BYTES] == root[:TAG_BYTES]:
            raise Complaint(f"under that root are rights that this hub has sold ({batch.id}): end each by "
                            "`entitlementRevoke` or by a refund, so that the books and the buyers know")  # fmt: skip


async def _by(role: KeyRole, hub: Hub, contract: str, action: str, data: bytes) -> ChainReceipt:
    """In the order of that key's other transactions, which a running hub may be sending."""
    purpose, deadline = f"{action}:{hub.draw().id('act')}", time.monotonic() + SENT_WITHIN_S
    while (receipt := await finished(hub, purpose, contract, data, by=role)) is None:
        if time.monotonic() > deadline:
            raise ChainUnavailable(f"{action} is in no block after {SENT_WITHIN_S:.0f} s; a running hub sends it again")
        await asyncio.sleep(ASK_EVERY_S)
    if not receipt.is_ok:
        raise Complaint(f"the contract refused {action} in block {receipt.block_number}")
    return receipt


# ---- status ----------------------------------------------------------------------------------------------------------


async def print_status(settings: Settings) -> int:
    """Who holds what, which transactions wait, and whether there is money for gas. 1 if something waits too long."""
    async with opened(settings) as (hub, side):
        contract = await bring_up(hub, side)
        async with hub.store.reading() as rx:
            known = await rx.anchors.contracts(contract.chain_id)
            waiting = await rx.chain_transactions.unsettled(contract.chain_id)
        for line in await _roles_of(side, contract.address):
            print(line)
        print(f"chain    {contract.chain_id}")
        for one in known:
            mark = "  <- in use" if one.address == contract.address else ""
            print(f"contract {one.address} {one.name} from block {one.from_block}{mark}")
            if one.name in ROLES and not mark:
                for line in await _standing_of(side.client, one):
                    print(f"  {line}")
        now_us = hub.clock.now_us()
    late = False
    for transaction in waiting:
        age_s = (now_us - transaction.signed_at_us) // 1_000_000
        late = late or age_s > SENT_WITHIN_S
        print(f"waiting  nonce {transaction.nonce} {age_s} s {transaction.purpose} {transaction.hash}")
    return 1 if late else 0


async def _roles_of(side: ChainSide, contract: str) -> list[str]:
    chain = side.client
    views = ("owner", "proposedOwner", "successor", "paused")
    owner, proposed, successor, paused = [await _said(chain, contract, ENTITLEMENT_HUB, view) for view in views]
    uri = await _said(chain, contract, ENTITLEMENT_HUB, "uri", 0) or "no address for wallets"
    lines = [f"owner    {owner}", f"paused   {'yes' if paused else 'no'}", f"tokens   {uri}"]
    lines += [f"{name:<8} {who}" for name, who in (("proposed", proposed), ("followed", successor)) if who != NOBODY]
    for address, names in chain.senders.items():
        held = await _roles_at(chain, contract, ENTITLEMENT_HUB, address) or "no role"
        ether = await chain.balance_wei(address) / 10**18
        lines.append(f"{names:<8} {address} {held}; {ether:.6f} ether for gas")
    return lines


async def _standing_of(chain: JsonRpcChain, other: KnownContract) -> list[str]:
    """Of a splitter, and of a contract that was in use before: whoever owned one of ours may own them yet."""
    at, name = other.address, other.name
    views = ("owner", "proposedOwner", "paused")
    owner, proposed, paused = [await _said(chain, at, name, view) for view in views]
    held = {names: await _roles_at(chain, at, name, address) for address, names in chain.senders.items()}
    appointed = ", ".join(f"{names}: {roles}" for names, roles in held.items() if roles)
    next_owner = "" if proposed == NOBODY else f", proposed {proposed}"
    return [
        f"owner {owner}{next_owner}; {'paused' if paused else 'not paused'}",
        f"roles {appointed or 'none of this hub'}",
    ]


async def _roles_at(chain: JsonRpcChain, contract: str, name: str, account: str) -> str:
    return " ".join(role_names(name, await chain.roles_of(account, contract))).lower()


async def _said(chain: JsonRpcChain, contract: str, name: str, view: str, *arguments: object) -> Any:
    call = {"to": contract, "data": "0x" + abi.call(name, view, *arguments).hex()}
    (answer,) = await chain.look_up(Question("eth_call", (call, "latest")))
    told = said(name, view, answer)
    return to_checksum_address(told) if isinstance(told, str) and is_address(told) else told
