"""EntitlementHub on Foundry's node: the same transactions give the same logs, reasons and gas as on the small EVM."""

import random
from collections.abc import Callable, Iterator

import pytest
from eth_keys.constants import SECPK1_N
from eth_utils import keccak

from hub.domain import anchors
from hub.domain.anchors import NO_END
from tests.contracts.anvil import Pair, paired
from tests.contracts.evm import (
    CHAIN_ID,
    GATE,
    GUARD,
    JUDGE,
    NOW,
    OWNER,
    SEAL,
    STRANGER,
    TILL,
    TOKEN,
    Hub,
    Receipt,
    anchored,
    as_arguments,
    batch,
    calldata,
    claimed,
    result_of,
    right,
    settled,
    signed,
    verify_arguments,
)
from tests.contracts.receivers import ACCEPT, COME_BACK, GREEDY, REFUSE, WRONG, Receiver
from tests.contracts.test_entitlement_hub_model import ORDERS, RIGHTS, VERBS, House, Verb, planted

pytestmark = pytest.mark.browser

Step = Callable[[Hub], Receipt]


@pytest.fixture
def pair() -> Iterator[Pair[Hub]]:
    with paired(lambda hub: hub) as pair:
        assert pair.says(lambda hub: hub.evm.code(hub.address)) != b""
        assert pair.here.address == pair.there.address
        yield pair


def test_any_sequence_of_steps_is_the_same_on_both(pair: Pair[Hub]) -> None:
    draw = random.Random(6)
    pair.now = NOW - 100
    trees = {}
    for name, tree in planted().items():
        assert pair.does(lambda hub, leaves=tree.leaves: Receipt(0, b"", anchors_of(hub, leaves), b"")) is None
        trees[name] = tree
    both = {id(hub): House(hub, trees) for hub in (pair.here, pair.there)}
    reasons = set()
    for _ in range(150):
        (verb, name), number = draw.choice(VERBS), draw.randrange(4)
        if verb != "wait":
            reasons.add(pair.does(lambda hub, v=verb, n=name, i=number: step_of(both[id(hub)], v, n, i)))
        else:
            pair.now += draw.randrange(6)
    assert reasons >= {None, "paused", "right", "settled", "revoked", "expired"}
    for wallet, token, _ in RIGHTS:
        for view in ("hasAccess", "expiresAt", "balanceOf", "held", "locked"):
            asked(pair, view, wallet, token)


def anchors_of(hub: Hub, leaves: tuple[anchors.Leaf, ...]) -> tuple[tuple[tuple[bytes, ...], bytes], ...]:
    anchored(hub, leaves)
    return ()


def step_of(house: House, verb: Verb, name: str, number: int) -> Receipt:
    receipt = house.does(verb, name, number)
    assert receipt is not None, ORDERS
    return receipt


def test_signatures_are_taken_and_refused_alike(pair: Pair[Hub]) -> None:
    result = result_of(1, keccak(b"alice")[:20])
    good = signed(pair.here, result)
    r, s, v = good[:32], int.from_bytes(good[32:64]), good[64]
    bad = {
        "signature": [
            b"",
            good[:64],
            r + (SECPK1_N - s).to_bytes(32) + bytes([55 - v]),
            good[:64] + bytes([v - 27]),
            bytes(65),
            bytes(32) + good[32:],
        ],
        "signer": [signed(pair.here, result, GATE), signed(pair.here, result, chain_id=CHAIN_ID + 1)],
        "": [good + b"\0"],
    }
    for reason, signatures in bad.items():
        for signature in signatures:
            assert (
                pair.does(lambda hub, sig=signature: hub.send(STRANGER, "settle", as_arguments(result), sig)) == reason
            )
    assert pair.does(lambda hub: hub.send(STRANGER, "settle", as_arguments(result), good)) is None
    assert pair.does(lambda hub: hub.send(STRANGER, "settle", as_arguments(result), good)) == "settled"
    assert pair.does(lambda hub: hub.send(OWNER, "rotateSigner", SEAL.address, STRANGER.address, pair.now + 2)) is None
    assert pair.does(lambda hub: settled(hub, result_of(2, keccak(b"bob")[:20]))) is None
    assert pair.does(lambda hub: settled(hub, result_of(3, keccak(b"bob")[:20]))) == "signer"


def test_wallets_that_are_contracts_fare_alike(pair: Pair[Hub]) -> None:
    wallets = [Receiver(hub.evm) for hub in (pair.here, pair.there)]
    address = wallets[0].address
    assert wallets[1].address == address
    for number, mode in enumerate((ACCEPT, REFUSE, WRONG, GREEDY, COME_BACK), 1):
        for wallet in wallets:
            wallet.behave(mode, calldata("mint", address, TOKEN + number))
        result = result_of(number, address, token_id=TOKEN + number)
        assert pair.does(lambda hub, r=result: settled(hub, r)) is None
        (access, balance) = (asked(pair, name, address, TOKEN + number)[0] for name in ("hasAccess", "balanceOf"))
        assert (access, balance) == (True, int(mode in (ACCEPT, COME_BACK)))
        for wallet in wallets:
            wallet.behave(ACCEPT)
        expected = "right" if mode in (ACCEPT, COME_BACK) else None
        assert pair.does(lambda hub, n=number: hub.send(STRANGER, "mint", address, TOKEN + n)) == expected


def test_the_gas_of_a_life_is_the_same(pair: Pair[Hub]) -> None:
    holder = keccak(b"holder")[:20]
    tree = anchors.plant([right(0, to=holder), *batch(256).leaves[1:]], keccak)
    steps: list[Step] = [
        lambda hub: hub.send(GATE, "recordRequest", right(0).order_key, right(0).commitment),
        lambda hub: hub.send(GATE, "anchor", tree.root, 256, bytes(32), 1),
        lambda hub: claimed(hub, tree.proof(0)),
        lambda hub: claimed(hub, tree.proof(0)),
        lambda hub: hub.send(TILL, "grantPurchase", keccak(b"bought"), holder, TOKEN + 1, NO_END, bytes(32)),
        lambda hub: hub.send(JUDGE, "revoke", tree.root, 0, 2**256 - 1),
        lambda hub: hub.send(STRANGER, "burnRevoked", holder, TOKEN),
        lambda hub: hub.send(TILL, "revokeOrder", keccak(b"bought")),
        lambda hub: hub.send(GUARD, "pause"),
    ]
    for step in steps:
        assert pair.does(step) is None
    assert pair.does(lambda hub: hub.send(STRANGER, "claim", *verify_arguments(tree.proof(0)))) == "paused"
    assert asked(pair, "verify", *verify_arguments(tree.proof(0))) == (False,)


def asked(pair: Pair[Hub], name: str, *arguments: object) -> tuple[object, ...]:
    """What both answer to that."""
    return pair.says(lambda hub: hub.ask(name, *arguments))
