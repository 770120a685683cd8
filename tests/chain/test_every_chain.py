"""What the Chain port promises, run through every kind of node that the hub knows: a new one is a line in NODES."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from eth._utils.address import generate_contract_address
from eth_account import Account
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from hub.chain.client import JsonRpcChain
from hub.chain.deployment import deploy
from hub.domain.anchors import Leaf, Tree, plant, revocation_bit
from hub.domain.contracts import HubRole
from hub.domain.records import KeyRole
from hub.ports import AnchorState, ChainRefused, ChainUnavailable, LeafClaim, SignedTransaction
from tests.chain import nodes
from tests.chain.keyring import keyring

DEPLOYER, GATEWAY = nodes.SENDERS[:2]
KEYS = keyring(DEPLOYER, GATEWAY)
NO_END = 2**56 - 1
NOBODY = bytes(20)
NOBODY_ADDRESS = "0x" + NOBODY.hex()
MINED_WITHIN_S = 10.0
DATA_HASH = bytes([7]) * 32

# Wallets that answer isValidSignature(bytes32,bytes) with the very bytes of the signature, or revert with them.
SAYS_IT = bytes.fromhex("6044358060645f375ff3")
REVERTS_WITH_IT = SAYS_IT[:-1] + b"\xfd"


def one_owners(owner: str) -> bytes:
    """The wallet of one key: what that has signed it approves, with zero it says no."""
    arguments = "6004355f5260a43560f81c602052606435604052608435606052"  # digest, v, r, s
    recovered = "60205f60805f60015afa505f51"
    return bytes.fromhex(f"{arguments}{recovered}73{owner[2:]}14631626ba7e60e01b025f5260205ff3")


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    """The URL of an embedded node on which DEPLOYER and GATEWAY are rich."""
    with nodes.running(folder) as node:
        yield f"http://127.0.0.1:{node.ready['port']}"


@contextmanager
def anvil(folder: Path) -> Iterator[str]:
    """The same of anvil, in memory."""
    with nodes.anvil_running() as node:
        yield node.url


NODES: dict[str, Callable[[Path], AbstractContextManager[str]]] = {"embedded": embedded, "anvil": anvil}
FROM_NPM = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first test waits for the packages too
MARKS = {"embedded": [], "anvil": FROM_NPM}


@pytest.fixture(scope="module", params=[pytest.param(name, marks=MARKS[name]) for name in sorted(NODES)])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One node of each kind for all tests here; each test anchors roots of its own."""
    with NODES[request.param](tmp_path_factory.mktemp(request.param)) as url:
        yield url


@pytest.fixture
async def chain(url: str) -> AsyncIterator[JsonRpcChain]:
    """A client whose contract is deployed, by the first test that asks."""
    chain = JsonRpcChain(lambda: url, KEYS)
    await deploy(chain, KEYS, ())
    yield chain
    await chain.aclose()


async def test_anchored_root_is_read_back_with_its_receipt(chain: JsonRpcChain) -> None:
    tree = batch("read back", 3)

    transaction = await anchor(chain, tree)

    receipt = await chain.receipt(transaction.hash)
    assert receipt is not None
    assert (receipt.hash, receipt.is_ok, receipt.confirmations) == (transaction.hash, True, 1)
    assert 40_000 < receipt.gas_used <= 60_000
    assert receipt.gas_price_wei > 0
    assert len(receipt.block_hash) == 66
    state = await chain.anchored(tree.root)
    assert (state.count, state.kind) == (3, 1)
    assert state.anchored_at > 1_700_000_000


async def test_later_block_is_a_confirmation(chain: JsonRpcChain) -> None:
    first = await anchor(chain, batch("first", 1))
    await anchor(chain, batch("second", 1))

    receipt = await chain.receipt(first.hash)

    assert receipt is not None
    assert receipt.confirmations == 2


async def test_unknown_root_and_hash_are_nothing(chain: JsonRpcChain) -> None:
    assert await chain.anchored(keccak(b"unknown")) == AnchorState(count=0, kind=0, anchored_at=0)
    assert await chain.receipt("0x" + keccak(b"unknown").hex()) is None
    assert not await chain.is_revoked(keccak(b"unknown"), 0)


async def test_same_raw_sent_again_is_success_and_one_transaction(chain: JsonRpcChain) -> None:
    before = await chain.mined_nonce(chain.sender)
    transaction = await anchor(chain, batch("again", 1))

    await chain.send(transaction)

    assert await chain.mined_nonce(chain.sender) == before + 1


async def test_signing_sends_nothing_and_names_the_hash(chain: JsonRpcChain) -> None:
    tree = batch("unsent", 1)
    nonce = await chain.mined_nonce(chain.sender)

    transaction = await chain.sign_anchor(tree.root, 1, DATA_HASH, nonce)

    assert transaction.hash == "0x" + keccak(bytes.fromhex(transaction.raw[2:])).hex()
    assert (transaction.nonce, transaction.sender) == (nonce, chain.sender)
    assert await chain.mined_nonce(chain.sender) == nonce
    assert (await chain.anchored(tree.root)).count == 0


async def test_anchoring_twice_is_refused_and_the_root_stands(chain: JsonRpcChain) -> None:
    tree = batch("twice", 2)
    await anchor(chain, tree)
    before = await chain.anchored(tree.root)

    with pytest.raises(ChainRefused, match="anchored"):
        await chain.sign_anchor(tree.root, 2, DATA_HASH, await chain.mined_nonce(chain.sender))

    assert await chain.anchored(tree.root) == before
    assert before.count == 2


async def test_second_of_two_anchors_of_a_root_fails_in_its_block(chain: JsonRpcChain) -> None:
    tree = batch("raced", 2)
    nonce = await chain.mined_nonce(chain.sender)
    first = await chain.sign_anchor(tree.root, 2, DATA_HASH, nonce)
    second = await chain.sign_anchor(tree.root, 2, DATA_HASH, nonce + 1)  # signed before the first was sent

    await chain.send(first)
    await chain.send(second)

    receipt = await chain.receipt(second.hash)
    assert receipt is not None
    assert not receipt.is_ok
    assert (await chain.anchored(tree.root)).count == 2


async def test_nonce_that_another_transaction_took_is_refused(chain: JsonRpcChain) -> None:
    nonce = await chain.mined_nonce(chain.sender)
    late = await chain.sign_anchor(batch("late", 1).root, 1, DATA_HASH, nonce)
    await anchor(chain, batch("faster", 1))

    with pytest.raises(ChainRefused, match="nonce"):
        await chain.send(late)

    assert await chain.receipt(late.hash) is None


async def test_every_leaf_verifies_and_no_mutation_does(chain: JsonRpcChain) -> None:
    tree = batch("verified", 5)
    await anchor(chain, tree)
    claims = tuple(claim(tree, index) for index in range(5))
    right = claims[3]
    mutations = (
        replace(right, root=keccak(b"other")),
        replace(right, index=2),
        replace(right, index=2**32),
        replace(right, order_key=keccak(b"other")),
        replace(right, to=DEPLOYER.address),
        replace(right, token_id=right.token_id + 1),
        replace(right, expiry=right.expiry - 1),
        replace(right, expiry=-1),
        replace(right, commitment=keccak(b"other")),
        replace(right, proof=right.proof[:-1]),
        replace(right, proof=right.proof * 20),
        replace(right, to="nobody"),
    )

    assert await chain.verify_many(claims) == (True,) * 5
    assert await chain.verify_many(mutations) == (False,) * len(mutations)
    assert await chain.verify(right)
    assert not await chain.verify(mutations[1])


async def test_many_claims_are_answered_in_their_order(chain: JsonRpcChain) -> None:
    tree = batch("many", 3)
    await anchor(chain, tree)
    right = claim(tree, 1)
    wrong = replace(right, index=0)
    malformed = replace(right, index=-1)

    claims = tuple((right, wrong, malformed)[number % 3] for number in range(250))  # more than two batches

    assert await chain.verify_many(claims) == tuple(number % 3 == 0 for number in range(250))
    assert await chain.verify_many(()) == ()


async def test_revoked_leaf_ends_and_its_siblings_stand(chain: JsonRpcChain) -> None:
    tree = batch("revoked", 4)
    await anchor(chain, tree)
    word, mask = revocation_bit(2)

    nonce = await chain.mined_nonce(chain.sender)
    await chain.send(await chain.sign_revoke(chain.contract, tree.root, word, mask, nonce))

    assert [await chain.is_revoked(tree.root, index) for index in range(4)] == [False, False, True, False]
    assert await chain.verify_many(tuple(claim(tree, index) for index in range(4))) == (True, True, False, True)


async def test_contract_wallet_approves_by_the_one_word_and_nothing_else_does(chain: JsonRpcChain) -> None:
    owner, digest = Account.from_key(bytes([77]) * 32), keccak(b"a message to sign")
    signature = bytes(owner.unsafe_sign_hash(digest).signature)
    wallet = await created(chain, one_owners(owner.address))
    assert await chain.approves(wallet, digest, signature)
    for other_digest, other in (
        (keccak(b"another message"), signature),
        (digest, bytes(DEPLOYER.unsafe_sign_hash(digest).signature)),
        (digest, b""),
    ):
        assert not await chain.approves(wallet, other_digest, other)

    parrot, enraged = [await created(chain, code) for code in (SAYS_IT, REVERTS_WITH_IT)]
    yes = bytes.fromhex("1626ba7e") + bytes(28)
    assert await chain.approves(parrot, digest, yes)
    for garbage in (b"", yes[:4], yes[:31], yes + bytes(32), bytes(32) + yes, yes[:31] + b"\1", bytes(31) + b"\1"):
        assert not await chain.approves(parrot, digest, garbage)
    for reason in (yes, b"", b"no"):
        assert not await chain.approves(enraged, digest, reason)
    for without_code in (owner.address, NOBODY_ADDRESS):
        assert not await chain.approves(without_code, digest, signature)


@pytest.mark.parametrize("failure", ["63ffffffff51", "fe", "5f56", "50"], ids=["gas", "opcode", "jump", "stack"])
async def test_contract_wallet_whose_code_fails_approves_nothing(chain: JsonRpcChain, failure: str) -> None:
    wallet = await created(chain, bytes.fromhex(failure))
    assert not await chain.approves(wallet, keccak(b"a message to sign"), b"signed")


async def test_deploying_again_finds_the_one_contract(url: str, chain: JsonRpcChain) -> None:
    other = JsonRpcChain(lambda: url, KEYS)
    sent = await chain.count_transactions(DEPLOYER.address, "latest")

    found = await deploy(other, KEYS, ())  # as after a crash before the record
    given = await deploy(other, KEYS, (replace(found, address=chain.contract, from_block=1),))

    assert found.address == chain.contract
    assert given == replace(found, from_block=1)
    assert await chain.count_transactions(DEPLOYER.address, "latest") == sent
    assert await chain.roles_of(GATEWAY.address) == HubRole.GATEWAY | HubRole.REVOKER | HubRole.PAUSER
    await other.aclose()


async def test_recorded_contract_that_is_gone_is_not_silently_replaced(url: str, chain: JsonRpcChain) -> None:
    other = JsonRpcChain(lambda: url, KEYS)
    recorded = replace(await deploy(other, KEYS, ()), address=GATEWAY.address)

    with pytest.raises(ChainRefused, match=GATEWAY.address):
        await deploy(other, KEYS, (recorded,))

    await other.aclose()


async def test_deployer_without_funds_is_told_its_address(url: str) -> None:
    poor = Account.from_key(bytes([99]) * 32)
    other = JsonRpcChain(lambda: url, KEYS)

    with pytest.raises(ChainUnavailable, match=poor.address):
        await deploy(other, keyring(poor, GATEWAY), ())

    assert await other.count_transactions(poor.address, "pending") == 0
    await other.aclose()


async def test_contract_and_chain_are_checked_before_use(url: str, chain: JsonRpcChain) -> None:
    right = JsonRpcChain(lambda: url, KEYS, chain_id=chain.chain_id, contract=chain.contract)
    wrong_chain = JsonRpcChain(lambda: url, KEYS, chain_id=chain.chain_id + 1, contract=chain.contract)
    wrong_place = JsonRpcChain(lambda: url, KEYS, chain_id=chain.chain_id, contract=GATEWAY.address)

    await right.connect()
    for wrong in (wrong_chain, wrong_place):
        with pytest.raises(ChainRefused):
            await wrong.connect()
        with pytest.raises(ChainUnavailable):  # nothing may be concluded from another chain's answers
            await wrong.anchored(keccak(b"anything"))

    for client in (right, wrong_chain, wrong_place):
        await client.aclose()


async def created(chain: JsonRpcChain, runtime: bytes) -> str:
    """The address of a new contract with that code."""
    deployer = KEYS.of(KeyRole.DEPLOYER)
    assert deployer is not None
    nonce = await chain.mined_nonce(deployer.address)
    await mined(chain, await chain.sign(deployer, to=None, data=nodes.creation(runtime), nonce=nonce))
    address = generate_contract_address(to_canonical_address(deployer.address), nonce)
    return to_checksum_address(address)


def batch(name: str, count: int) -> Tree:
    """A batch of rights that no other test anchors."""
    leaves = [
        Leaf(keccak(f"{name} {index}".encode()), NOBODY, index + 1, NO_END, keccak(f"salted {index}".encode()))
        for index in range(count)
    ]
    return plant(leaves, keccak)


async def anchor(chain: JsonRpcChain, tree: Tree) -> SignedTransaction:
    """Anchors the batch; its transaction, once a block holds it: a node may answer before its own next block."""
    transaction = await chain.sign_anchor(tree.root, len(tree.leaves), DATA_HASH, await chain.mined_nonce(chain.sender))
    await mined(chain, transaction)
    return transaction


async def mined(chain: JsonRpcChain, transaction: SignedTransaction) -> None:
    await chain.send(transaction)
    async with asyncio.timeout(MINED_WITHIN_S):
        while await chain.receipt(transaction.hash) is None:  # noqa: ASYNC110  # there is nothing to be told by
            await asyncio.sleep(0.02)


def claim(tree: Tree, index: int) -> LeafClaim:
    """The arguments of `verify` for a leaf of the batch."""
    proof, leaf = tree.proof(index), tree.leaves[index]
    return LeafClaim(
        root=proof.root,
        index=index,
        order_key=leaf.order_key,
        to="0x" + leaf.to.hex(),
        token_id=leaf.token_id,
        expiry=leaf.expiry,
        commitment=leaf.commitment,
        proof=proof.proof,
    )
