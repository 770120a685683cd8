"""Leaves, trees, proofs and the hashes they are made of."""

import dataclasses
import json

import pytest
from eth_utils import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.domain import anchors
from hub.domain.anchors import NO_END, NO_HOLDER, Leaf, Proof

COURSE_TOKEN = anchors.token_id("crs_1", 1, 1, keccak)

bytes32 = st.binary(min_size=32, max_size=32)
rights = st.builds(
    Leaf,
    order_key=bytes32,
    to=st.binary(min_size=20, max_size=20),
    token_id=st.integers(1, 2**256 - 1),
    expiry=st.integers(0, NO_END),
    commitment=bytes32,
)
records = st.builds(
    Leaf, order_key=bytes32, to=st.just(NO_HOLDER), token_id=st.just(0), expiry=st.just(0), commitment=bytes32
)
batches = st.lists(rights | records, min_size=1, max_size=33)


def right(number: int) -> Leaf:
    return Leaf(keccak(b"order %d" % number), NO_HOLDER, COURSE_TOKEN, NO_END, keccak(b"commitment %d" % number))


@given(batches)
@settings(max_examples=60, deadline=None)
def test_every_proof_of_every_batch_verifies(leaves: list[Leaf]) -> None:
    tree = anchors.plant(leaves, keccak)
    for index, leaf in enumerate(leaves):
        proof = tree.proof(index)
        assert (proof.root, proof.index, proof.leaf) == (tree.root, index, leaf)
        assert anchors.verify(proof, keccak)


@given(batches, st.data())
@settings(max_examples=60, deadline=None)
def test_any_flipped_bit_of_a_proof_fails(leaves: list[Leaf], data: st.DataObject) -> None:
    proof = anchors.plant(leaves, keccak).proof(data.draw(st.integers(0, len(leaves) - 1)))
    values = dataclasses.astuple(proof)[:7]
    flat = [*values, *proof.proof]
    place = data.draw(st.integers(0, len(flat) - 1))
    flipped = data.draw(st.integers(0, 31))
    old = flat[place]
    if isinstance(old, int):
        flat[place] = old ^ 1 << flipped
    else:
        position = flipped % len(old)
        flat[place] = old[:position] + bytes([old[position] ^ 1]) + old[position + 1 :]
    try:
        mutated = Proof(*flat[:7], proof=tuple(flat[7:]))
    except ValueError:  # a record-only leaf given a holder or an expiry is no leaf at all
        return
    assert not anchors.verify(mutated, keccak)


@pytest.mark.parametrize("size", [2, 3, 5, 64, 1_024])
def test_a_proof_of_another_place_or_cut_or_longer_fails(size: int) -> None:
    tree = anchors.plant([right(number) for number in range(size)], keccak)
    proof = tree.proof(0)
    assert not anchors.verify(dataclasses.replace(proof, index=1), keccak)
    assert not anchors.verify(dataclasses.replace(proof, proof=proof.proof[:-1]), keccak)
    assert not anchors.verify(dataclasses.replace(proof, proof=(*proof.proof, bytes(32))), keccak)


def test_a_batch_of_one_is_its_own_root_and_needs_no_sibling() -> None:
    tree = anchors.plant([right(0)], keccak)
    assert tree.root == anchors.leaf_hash(0, right(0), keccak)
    assert tree.proof(0).proof == ()


def test_leaf_is_the_double_hash_of_six_abi_words() -> None:
    leaf = Leaf(b"\x01" * 32, b"\x02" * 20, 3, 4, b"\x05" * 32)
    encoded = bytes.fromhex(
        f"{9:064x}" + "01" * 32 + "00" * 12 + "02" * 20 + f"{3:064x}" + f"{4:064x}" + "05" * 32,
    )
    assert anchors.leaf_hash(9, leaf, keccak) == keccak(keccak(encoded))


def test_tree_has_the_standard_layout() -> None:
    a, b, c = (anchors.leaf_hash(index, right(index), keccak) for index in range(3))
    inner = keccak(min(a, b) + max(a, b))
    root = keccak(min(inner, c) + max(inner, c))
    tree = anchors.plant([right(0), right(1), right(2)], keccak)
    assert tree.nodes == (root, inner, c, b, a)
    assert tree.proof(2).proof == (inner,)
    assert tree.proof(0).proof == (b, c)


def test_order_of_leaves_decides_the_root_and_nothing_else_does() -> None:
    leaves = [right(0), right(1)]
    assert anchors.plant(leaves, keccak).root == anchors.plant(tuple(leaves), keccak).root
    assert anchors.plant(leaves, keccak).root != anchors.plant(leaves[::-1], keccak).root


@pytest.mark.parametrize("size", [0, 1_025])
def test_empty_and_oversized_batches_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="1 to 1024 leaves"):
        anchors.plant([right(0)] * size, keccak)


@pytest.mark.parametrize("index", [-1, 2])
def test_there_is_no_proof_outside_the_batch(index: int) -> None:
    with pytest.raises(IndexError, match=f"no leaf {index} in a batch of 2"):
        anchors.plant([right(0), right(1)], keccak).proof(index)


@pytest.mark.parametrize(
    "change",
    [
        {"order_key": bytes(31)},
        {"to": bytes(32)},
        {"token_id": 2**256},
        {"token_id": -1},
        {"expiry": NO_END + 1},
        {"commitment": b""},
        {"token_id": 0},
    ],
)
def test_a_malformed_leaf_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|leaf"):
        dataclasses.replace(right(0), **change)


@pytest.mark.parametrize("change", [{"root": b"\0"}, {"index": 2**32}, {"index": -1}, {"proof": (bytes(32),) * 33}])
def test_a_malformed_proof_is_refused(change: dict[str, object]) -> None:
    proof = anchors.plant([right(0), right(1)], keccak).proof(0)
    with pytest.raises(ValueError, match=r"must|at most"):
        dataclasses.replace(proof, **change)


def test_a_leaf_without_token_grants_nothing() -> None:
    assert right(0).is_right
    assert not Leaf(bytes(32), NO_HOLDER, 0, 0, bytes(32)).is_right


@given(bytes32, bytes32, bytes32, st.integers(0, 3), st.integers(0, 255))
@settings(max_examples=30, deadline=None)
def test_any_flipped_bit_of_the_opening_changes_the_commitment(
    request: bytes, result: bytes, salt: bytes, which: int, bit: int
) -> None:
    opening = [int.from_bytes(part, "big") for part in (bytes([1]), request, result, salt)]
    opening[which] ^= 1 << bit
    version, *hashes = opening
    mutated = anchors.commitment(version, *(number.to_bytes(32, "big") for number in hashes), keccak)
    assert anchors.commitment(1, request, result, salt, keccak) == keccak(bytes(31) + b"\x01" + request + result + salt)
    assert mutated != anchors.commitment(1, request, result, salt, keccak)


def test_a_short_salt_is_refused() -> None:
    with pytest.raises(ValueError, match="salt must have 32 bytes"):
        anchors.commitment(1, bytes(32), bytes(32), bytes(16), keccak)


def test_order_key_depends_on_secret_and_number() -> None:
    secret, other = bytes(32), bytes(31) + b"\x01"
    assert anchors.order_key(secret, "TB-1").hex() == "397f22afdefb8881f4ebde20932e2284cd64ea9395c0585dee71e4199f6a2207"
    assert len({anchors.order_key(key, number) for key in (secret, other) for number in ("TB-1", "TB-2")}) == 4
    with pytest.raises(ValueError, match="at least 32 bytes"):
        anchors.order_key(bytes(31), "TB-1")


def test_token_packs_course_kind_and_version() -> None:
    token = anchors.token_id("crs_1", 2, 7, keccak)
    assert token >> 160 == int.from_bytes(keccak(b"tongbao.course.v1\0crs_1")[:12], "big")
    assert token & (1 << 160) - 1 == 2 << 32 | 7
    assert token != anchors.token_id("crs_2", 2, 7, keccak)


@pytest.mark.parametrize(("kind", "version"), [(0, 1), (256, 1), (1, -1), (1, 2**32)])
def test_a_token_outside_its_ranges_is_refused(kind: int, version: int) -> None:
    with pytest.raises(ValueError, match=r"kind|version"):
        anchors.token_id("crs_1", kind, version, keccak)


def test_tag_is_the_first_160_bits_and_a_bit_has_its_word() -> None:
    assert anchors.tag(b"\x01" * 20 + b"\xff" * 12) == int("01" * 20, 16)
    assert [anchors.revocation_bit(index) for index in (0, 255, 256)] == [(0, 1), (0, 1 << 255), (1, 1)]


def test_canonical_text_is_sorted_compact_and_unescaped() -> None:
    content = {"b": [1, None, True], "a": {"y": "课程\n", "x": -5}}
    assert anchors.canonical(content) == '{"a":{"x":-5,"y":"课程\\n"},"b":[1,null,true]}'.encode()
    assert anchors.content_hash(content, keccak) == keccak(anchors.canonical(content))


words = st.text('aZ "\\/\n\x1f\x7fé课\u2028😀', max_size=6)  # an alphabet of its own: building the whole takes seconds
exact = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdefgh_", max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text("abcdefgh_", max_size=4), exact, max_size=4))
@settings(max_examples=60, deadline=None)
def test_canonical_text_reads_back_and_ignores_the_order_of_keys(content: dict[str, object]) -> None:
    text = anchors.canonical(content)
    assert json.loads(text) == content
    assert anchors.canonical(dict(reversed(content.items()))) == text


@pytest.mark.parametrize(
    "value", [1.0, 2**53, {"课": 1}, {1: 1}, b"", {"deep": [{"er": float("nan")}]}, {1, 2}, "\ud800"], ids=repr
)
def test_what_has_no_exact_text_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        anchors.canonical({"value": value})
