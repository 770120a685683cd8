"""CheckoutSplitter on the embedded node: deployed once, and read at the head and as deep as counts, through a reorg."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from contracts import abi
from hub.chain.checkout import JsonRpcCheckout
from hub.chain.checkout_deployment import TEST_TOKEN, deploy_checkout
from hub.chain.client import JsonRpcChain
from hub.chain.deployment import deploy
from hub.chain.rpc import Answer, Json, NodeSaidNo, Question
from hub.chain.stands import Stand, former_stands
from hub.channels import stablecoin_words as words
from hub.channels.stablecoin_whereabouts import whereabouts
from hub.domain.checkout import Part, Purchase, Terms, offer_id, order_key, split_id
from hub.ports import ChainUnavailable, Obstacle, Paid, SplitterCall
from tests.chain import nodes
from tests.chain.keyring import keyring

DEPLOYER, GATEWAY, BUYER = nodes.SENDERS[:3]
KEYS = keyring(DEPLOYER, GATEWAY)
BUYER_ADDRESS = bytes.fromhex(BUYER.address[2:])
DEADLINE = 4_000_000_000
PARTS = (Part(bytes([8]) * 20, 10_000),)
DEPTH = 3


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nodes.Node]:
    with nodes.running(tmp_path_factory.mktemp("checkout"), HUB_CHAIN_TEST_HOOKS="1") as node:
        yield node


@pytest.fixture
async def chain(node: nodes.Node) -> AsyncIterator[JsonRpcChain]:
    chain = JsonRpcChain(lambda: node.url, KEYS)
    await deploy(chain, KEYS, ())
    yield chain
    await chain.aclose()


@pytest.fixture
async def checkout(chain: JsonRpcChain) -> JsonRpcCheckout:
    splitter, token, _ = await deploy_checkout(chain, KEYS, (), token=TEST_TOKEN)
    checkout = JsonRpcCheckout(chain, DEPTH)
    checkout.use(Stand(splitter.address, chain.contract, token, splitter.from_block))
    return checkout


def sent(node: nodes.Node, sender: LocalAccount, to: str, data: bytes) -> dict[str, object]:
    signed = sender.sign_transaction({
        "type": 2, "chainId": nodes.CHAIN_ID, "nonce": node.nonce(sender), "to": to_checksum_address(to), "value": 0,
        "data": data, "gas": 1_000_000, "maxFeePerGas": nodes.GWEI * 10, "maxPriorityFeePerGas": nodes.GWEI,
    })  # fmt: skip
    receipt = node.mined("0x" + signed.raw_transaction.hex().removeprefix("0x"))
    assert receipt["status"] == "0x1", receipt
    return receipt


async def test_deploying_again_finds_both_recorded_or_not(chain: JsonRpcChain, node: nodes.Node) -> None:
    first = await deploy_checkout(chain, KEYS, (), token=TEST_TOKEN)
    nonce = node.nonce(DEPLOYER)

    unrecorded = await deploy_checkout(chain, KEYS, (), token=TEST_TOKEN)
    recorded = await deploy_checkout(chain, KEYS, first[2], token=TEST_TOKEN)

    assert node.nonce(DEPLOYER) == nonce
    assert (unrecorded[0].address, unrecorded[1]) == (first[0].address, first[1])
    assert recorded[2] == first[2]
    assert {one.name for one in first[2]} == {"checkout_splitter", "test_usd"}


async def test_a_token_of_somebody_elses_is_listed_and_not_deployed(chain: JsonRpcChain, node: nodes.Node) -> None:
    foreign = to_checksum_address("0x" + "ab" * 20)

    splitter, token, found = await deploy_checkout(chain, KEYS, (), token=foreign.lower())

    assert (token, [one.name for one in found]) == (foreign, ["checkout_splitter"])
    call = {"to": splitter.address, "data": "0x" + abi.call("checkout_splitter", "isTaken", foreign).hex()}
    assert int(node.rpc("eth_call", call, "latest"), 16) == 1


async def test_a_splitter_of_another_hub_is_not_this_ones(chain: JsonRpcChain, node: nodes.Node) -> None:
    splitter, _, found = await deploy_checkout(chain, KEYS, (), token=TEST_TOKEN)
    creation = abi.creation("entitlement_hub", DEPLOYER.address, GATEWAY.address)
    hub = await _created(node, creation)
    other = JsonRpcChain(lambda: node.url, KEYS, contract=hub)
    await other.connect()

    theirs, _, _ = await deploy_checkout(other, KEYS, found, token=TEST_TOKEN)
    await other.aclose()

    assert theirs.address != splitter.address


async def _created(node: nodes.Node, code: bytes) -> str:
    signed = DEPLOYER.sign_transaction({
        "type": 2, "chainId": nodes.CHAIN_ID, "nonce": node.nonce(DEPLOYER), "value": 0, "data": code,
        "gas": 7_000_000, "maxFeePerGas": nodes.GWEI * 10, "maxPriorityFeePerGas": nodes.GWEI,
    })  # fmt: skip
    return str(node.mined("0x" + signed.raw_transaction.hex().removeprefix("0x"))["contractAddress"])


async def test_the_place_tells_the_token_as_it_signs(checkout: JsonRpcCheckout, node: nodes.Node) -> None:
    place = await checkout.place()
    assert (place.chain_id, place.token_name, place.token_version) == (nodes.CHAIN_ID, "Test USD", "1")
    assert (place.decimals, place.has_signatures) == (6, True)
    assert await checkout.permit_nonce(BUYER_ADDRESS) == 0


async def test_before_the_splitter_is_there_nothing_is_known(chain: JsonRpcChain) -> None:
    early = JsonRpcCheckout(chain, 1)
    for asked in (early.place(), early.open_among([bytes(32)]), early.carry_out(SplitterCall("x", b""))):
        with pytest.raises(ChainUnavailable):
            await asked


async def bought(checkout: JsonRpcCheckout, node: nodes.Node, word: bytes) -> tuple[bytes, Terms]:
    """An order key, bought in the newest block."""
    place = await checkout.place()
    split = split_id(PARTS, keccak)
    terms = Terms(place.token, 5_000_000, 7, 0, split)
    offer = offer_id(terms, keccak)
    splitter, token = checkout.splitter, to_checksum_address(place.token)
    if not await checkout.open_among([offer]):
        sent(node, GATEWAY, splitter, words.split_call(split, PARTS))
        sent(node, GATEWAY, splitter, words.offer_call(offer, terms))
    sent(node, BUYER, token, abi.call("test_usd", "mint", BUYER.address, terms.price))
    purchase = Purchase(keccak(word), BUYER_ADDRESS, DEADLINE, BUYER_ADDRESS)
    key = order_key(place.chain_id, place.splitter, offer, purchase, keccak)
    action = words.next_action(
        place, terms, purchase, key, way="approve", permit_nonce=None, expires_at_us=DEADLINE * 10**6
    )
    for one in json.loads(action.data or "")["transactions"]:
        sent(node, BUYER, one["to"], bytes.fromhex(one["data"][2:]))
    return key, terms


async def test_a_purchase_is_confirmed_by_the_blocks_on_top_of_it(checkout: JsonRpcCheckout, node: nodes.Node) -> None:
    key, terms = await bought(checkout, node, b"deep")
    told = []
    for _ in range(DEPTH):
        standing = await checkout.standing(key)
        told.append((standing.bought_at is not None, standing.is_confirmed))
        node.rpc("evm_mine")

    assert told == [(True, False), (True, False), (True, True)]
    offer = offer_id(terms, keccak)
    assert await checkout.paid(key) == Paid(offer, BUYER_ADDRESS, terms.token, terms.price)
    assert await checkout.terms(offer) == (terms, PARTS)
    assert await checkout.paid(keccak(b"never")) is None
    assert (await checkout.standing(keccak(b"never"))).bought_at is None


async def test_what_stands_in_the_way_of_a_purchase_is_told(checkout: JsonRpcCheckout, node: nodes.Node) -> None:
    key, terms = await bought(checkout, node, b"in the way")
    offer, closed, free = offer_id(terms, keccak), keccak(b"no offer"), keccak(b"free")
    rights = checkout._stand.hub  # where a key can be called off
    token = to_checksum_address(terms.token)

    assert await checkout.open_among([offer, closed]) == {offer}
    assert await checkout.set_among([terms.split_id, closed]) == {terms.split_id}
    assert await checkout.open_among([]) == set()
    assert await checkout.obstacle(offer, free) is None
    assert await checkout.obstacle(closed, free) is Obstacle.OFFER
    assert await checkout.obstacle(offer, key) is Obstacle.ORDER
    sent(node, GATEWAY, rights, abi.call("entitlement_hub", "revokeOrder", called_off := keccak(b"called off")))
    assert await checkout.obstacle(offer, called_off) is Obstacle.ORDER
    for contract in ("checkout_splitter", "entitlement_hub"):
        to = checkout.splitter if contract == "checkout_splitter" else rights
        sent(node, GATEWAY, to, abi.call(contract, "pause"))
        assert await checkout.obstacle(closed, key) is Obstacle.PAUSED
        sent(node, GATEWAY, to, abi.call(contract, "unpause"))
    sent(node, DEPLOYER, checkout.splitter, abi.call("checkout_splitter", "setToken", token, False))
    assert await checkout.obstacle(closed, key) is Obstacle.TOKEN
    sent(node, DEPLOYER, checkout.splitter, abi.call("checkout_splitter", "setToken", token, True))


class Provider:
    """A node that gives logs of `most` blocks at a time; one log is in block `at`, another below it."""

    chain_id, head = 1, 20_010_000

    def __init__(self, most: int, at: int | None) -> None:
        self.most, self.at = most, at
        self.asked = 0

    async def look_up(self, *questions: Question) -> list[Answer]:
        self.asked += len(questions)
        return [self.answer(question) for question in questions]

    def answer(self, question: Question) -> Answer:
        if question.method == "eth_blockNumber":
            return hex(self.head)
        criteria = question.params[0]
        assert isinstance(criteria, dict)
        first, last = int(criteria["fromBlock"], 16), int(criteria["toBlock"], 16)
        assert FROM_BLOCK <= first <= last <= self.head
        if last - first + 1 > self.most:
            return NodeSaidNo(-32602, "eth_getLogs is limited to a smaller range")
        logs = [] if self.at is None else [(self.at - 1, 4), (self.at, 5)]
        word = bytes(32).hex()
        topics: Json = ["0x" + word] * 3 + ["0x" + bytes(12).hex() + BUYER_ADDRESS.hex()]
        return [
            {"topics": topics, "data": "0x" + word + price.to_bytes(32, "big").hex()}
            for block, price in logs
            if first <= block <= last
        ]


FROM_BLOCK = 19_900_001


def stand(from_block: int) -> Stand:
    return Stand("0x" + "5a" * 20, Tagged.contract, "0x" + "70" * 20, from_block)


@pytest.mark.parametrize("at", [FROM_BLOCK + 1, 19_955_555, Provider.head])
@pytest.mark.parametrize("most", [200_000, 10_000, 2_000])
async def test_logs_are_found_where_a_node_gives_few_blocks_at_a_time(most: int, at: int) -> None:
    provider = Provider(most, at)
    checkout = JsonRpcCheckout(provider, 12)
    checkout.use(stand(FROM_BLOCK))
    assert await checkout.paid(bytes(32)) == Paid(bytes(32), BUYER_ADDRESS, bytes(20), 5)
    assert provider.asked < 100


async def test_logs_that_are_nowhere_are_none_and_those_that_a_node_never_gives_unknown() -> None:
    for provider, found in ((Provider(2_000, None), None), (Provider(0, None), ChainUnavailable)):
        checkout = JsonRpcCheckout(provider, 12)
        checkout.use(stand(FROM_BLOCK))
        if found is None:
            assert await checkout.paid(bytes(32)) is None
        else:
            with pytest.raises(ChainUnavailable):
                await checkout.paid(bytes(32))


class Tagged:
    """A node whose newest block is 100, and what it calls safe and finalized; nothing was ever bought."""

    chain_id, contract = 1, "0x" + "c0" * 20

    def __init__(self, **numbers: int) -> None:
        self.numbers = {"latest": 100, **numbers}
        self.looked_at: list[str] = []

    async def look_up(self, *questions: Question) -> list[Answer]:
        return [self.answer(question) for question in questions]

    def answer(self, question: Question) -> Answer:
        if question.method == "eth_call":
            self.looked_at.append(str(question.params[1]))
            return "0x" + bytes(96).hex()
        name = str(question.params[0])
        number = int(name, 16) if name.startswith("0x") else self.numbers.get(name)
        return None if number is None else {"number": hex(number), "timestamp": hex(1_000 + number)}


@pytest.mark.parametrize(("confirmations", "deep", "depth"), [(12, 89, 12), ("safe", 70, 64), ("finalized", 40, 64)])
async def test_what_counts_is_so_many_blocks_deep_or_what_the_node_names(
    confirmations: int | str, deep: int, depth: int
) -> None:
    node = Tagged(safe=70, finalized=40)
    checkout = JsonRpcCheckout(node, confirmations)
    checkout.use(stand(1))
    assert (await checkout.standing(bytes(32))).confirmed_at == 1_000 + deep
    assert (set(node.looked_at), checkout.depth) == ({hex(100), hex(deep)}, depth)


async def test_a_node_that_calls_no_block_safe_is_told_of() -> None:
    checkout = JsonRpcCheckout(Tagged(), "safe")
    checkout.use(stand(1))
    with pytest.raises(ChainUnavailable, match="calls no block safe"):
        await checkout.standing(bytes(32))


async def test_a_purchase_that_a_reorg_takes_away_is_none(checkout: JsonRpcCheckout, node: nodes.Node) -> None:
    key, _ = await bought(checkout, node, b"shallow")
    assert (await checkout.standing(key)).bought_at is not None

    node.rpc("hub_reorg", 1)

    standing = await checkout.standing(key)
    assert (standing.bought_at, standing.is_confirmed) == (None, False)
    assert await checkout.paid(key) is None


async def test_what_a_former_splitter_has_sold_is_asked_and_given_back_there(
    chain: JsonRpcChain, checkout: JsonRpcCheckout, node: nodes.Node
) -> None:
    key, terms = await bought(checkout, node, b"before the upgrade")
    hub = await _created(node, abi.creation("entitlement_hub", DEPLOYER.address, GATEWAY.address))
    upgraded = JsonRpcChain(lambda: node.url, KEYS, contract=hub)
    await upgraded.connect()
    _, token, known = await deploy_checkout(chain, KEYS, (), token=TEST_TOKEN)
    splitter, _, found = await deploy_checkout(upgraded, KEYS, known, token=TEST_TOKEN)
    stand = Stand(splitter.address, hub, token, splitter.from_block)
    stands = await former_stands(upgraded, [*known, *found], stand)
    assert [(one.splitter, one.hub, one.token) for one in stands] == [(checkout.splitter, chain.contract, token)]

    async def send(to: str, call: SplitterCall) -> None:
        sent(node, GATEWAY, to, call.data)

    present = JsonRpcCheckout(upgraded, 1)
    present.use(stand, stands)
    present.send_by(send)  # type: ignore[arg-type]  # receipts are of no use here
    assert (await present.standing(key)).bought_at is None
    seller, standing = await whereabouts(present, key)
    assert (seller.splitter, standing.bought_at is not None) == (checkout.splitter, True)
    purchase = Purchase(keccak(b"before the upgrade"), BUYER_ADDRESS, DEADLINE, BUYER_ADDRESS)
    await seller.carry_out(SplitterCall("refund", words.refund_call(terms, purchase, PARTS)))
    assert (await whereabouts(present, key))[1].is_refunded
    assert await present.open_among([offer_id(terms, keccak)]) == set()
    await upgraded.aclose()


async def test_a_refund_is_seen_and_then_confirmed(checkout: JsonRpcCheckout, node: nodes.Node) -> None:
    key, terms = await bought(checkout, node, b"back")
    purchase = Purchase(keccak(b"back"), BUYER_ADDRESS, DEADLINE, BUYER_ADDRESS)
    sent(node, GATEWAY, checkout.splitter, words.refund_call(terms, purchase, PARTS))

    seen = await checkout.standing(key)
    when_us = 10**6 * int(node.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)
    told = [one for one in await checkout.movements(0, when_us + 1, is_over=True) if one.order_key == key]
    assert [(one.is_refund, one.token, one.price) for one in told] == [
        (False, terms.token, terms.price), (True, terms.token, terms.price),
    ]  # fmt: skip
    assert told[1].at_us == when_us
    assert told[1] not in await checkout.movements(0, when_us, is_over=False)
    assert await checkout.movements(when_us + 1, when_us + 2, is_over=True) == []
    with pytest.raises(ChainUnavailable, match="not final yet"):
        await checkout.movements(0, when_us + 1, is_over=False)
    for _ in range(DEPTH):
        node.rpc("evm_mine")
    deep = await checkout.standing(key)

    assert (seen.is_refunded, seen.is_refund_confirmed) == (True, False)
    assert (deep.is_refunded, deep.is_refund_confirmed) == (True, True)
