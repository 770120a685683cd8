# pragma version 0.4.3
"""
@title Holdings: the one right to a course that a wallet holds, how it comes, stands and goes
@license Apache-2.0
"""

from . import permissions
from . import revocations

uses: permissions
uses: revocations


# ERC-1155's; minting comes from the zero address, burning goes to it.
event TransferSingle:
    _operator: indexed(address)
    _from: indexed(address)
    _to: indexed(address)
    _id: uint256
    _value: uint256


# What `held` tells of wallet and token; `expiry` 0 means nothing. `tag` and `index` name the revocation bit.
struct Holding:
    tag: uint160
    index: uint32
    expiry: uint64
    isMinted: bool


# The word kept per wallet and token: tag 160 bits, index 32, expiry 56, flags 8.
TAG_MASK: constant(uint256) = (2 ** 160 - 1) << 96
TAG_SHIFT: constant(uint256) = 96
INDEX_MASK: constant(uint256) = 2 ** 32 - 1
INDEX_SHIFT: constant(uint256) = 64
EXPIRY_MASK: constant(uint256) = 2 ** 56 - 1
EXPIRY_SHIFT: constant(uint256) = 8
MINTED: constant(uint256) = 1

# What a receiver's hook gets: plenty for a smart wallet, and a bound on what a hostile one can burn of a relayer's gas.
HOOK_GAS: constant(uint256) = 100_000

# What a receiver's hook answers.
ACCEPTED: constant(bytes4) = 0xf23a6e61


words: HashMap[address, HashMap[uint256, uint256]]


@external
@nonreentrant
def mint(to: address, tokenId: uint256):
    """
    @notice Mints the token of a right whose wallet, a contract, refused it before. Anyone may send it.
    @dev Not while paused. Reverts "right" unless the right stands and has no token, "refused" if the wallet still does.
    @param to The holder.
    @param tokenId The course.
    """
    assert not permissions.paused, "paused"
    word: uint256 = self.words[to][tokenId]
    assert self._is_live(word) and word & MINTED == 0, "right"
    self.words[to][tokenId] = word | MINTED
    log TransferSingle(_operator=msg.sender, _from=empty(address), _to=to, _id=tokenId, _value=1)
    assert self._accepts(to, tokenId), "refused"


@external
@nonreentrant
def burnRevoked(to: address, tokenId: uint256):
    """
    @notice Takes a revoked right off its wallet. Anyone may send it, also while paused.
    @dev Reverts "revoked" unless the wallet holds the token by a right that is revoked.
    @param to The holder.
    @param tokenId The course.
    """
    word: uint256 = self.words[to][tokenId]
    assert word != 0 and self._is_word_revoked(word), "revoked"
    self._burn(to, tokenId, word)


@external
@nonreentrant
def burnExpired(to: address, tokenId: uint256):
    """
    @notice Takes an expired right off its wallet. Anyone may send it, also while paused.
    @dev Reverts "expired" unless the wallet holds the token by a right that has expired.
    @param to The holder.
    @param tokenId The course.
    """
    word: uint256 = self.words[to][tokenId]
    assert word != 0 and convert(self._expiry(word), uint256) <= block.timestamp, "expired"
    self._burn(to, tokenId, word)


@external
@view
def hasAccess(to: address, tokenId: uint256) -> bool:
    """
    @notice Whether a wallet holds a right to a course that stands now: claimed or settled, neither revoked nor expired.
    @param to Any wallet.
    @param tokenId The course.
    @return Whether it stands, with or without a minted token.
    """
    return self._is_live(self.words[to][tokenId])


@external
@view
def expiresAt(to: address, tokenId: uint256) -> uint64:
    """
    @notice When the right that a wallet holds ends, or has ended.
    @param to Any wallet.
    @param tokenId The course.
    @return First Unix second without access, 2**56 - 1 for no end; 0 when nothing is held or what is held is revoked.
    """
    word: uint256 = self.words[to][tokenId]
    return empty(uint64) if self._is_word_revoked(word) else self._expiry(word)


@external
@view
def held(to: address, tokenId: uint256) -> Holding:
    """
    @notice What is kept of wallet and course, revoked and expired rights too.
    @param to Any wallet.
    @param tokenId The course.
    @return Tag and index of the revocation bit, expiry (0 for nothing held), whether the token is minted.
    """
    word: uint256 = self.words[to][tokenId]
    return Holding(
        tag=convert(word >> TAG_SHIFT, uint160),
        index=convert((word >> INDEX_SHIFT) & INDEX_MASK, uint32),
        expiry=self._expiry(word),
        isMinted=word & MINTED != 0,
    )


@internal
@view
def _outlasts(expiry: uint64, was: uint256) -> bool:
    """
    @dev Whether a right with this end is to replace what the wallet holds: nothing, a shorter or a revoked one.
    """
    return self._expiry(was) < expiry or self._is_word_revoked(was)


@internal
def _hold(to: address, tokenId: uint256, was: uint256, source: bytes32, index: uint32, expiry: uint64):
    """
    @dev Writes what the wallet holds, by a right of `source` (a root, or a hashed orderKey), and mints its token if it
         has none, as `was`, the word so far, tells. A wallet that refuses the token keeps the right: mint and burn are
         both told, since the hook may have looked at the balance.
    """
    word: uint256 = (
        (convert(source, uint256) & TAG_MASK)
        | (convert(index, uint256) << INDEX_SHIFT)
        | (convert(expiry, uint256) << EXPIRY_SHIFT)
    )
    self.words[to][tokenId] = word | MINTED
    if was & MINTED != 0:
        return
    log TransferSingle(_operator=msg.sender, _from=empty(address), _to=to, _id=tokenId, _value=1)
    if not self._accepts(to, tokenId):
        self.words[to][tokenId] = word
        log TransferSingle(_operator=msg.sender, _from=to, _to=empty(address), _id=tokenId, _value=1)


@internal
def _accepts(to: address, tokenId: uint256) -> bool:
    """
    @dev The receiver's hook of ERC-1155, for a wallet that is a contract. Nobody can starve it: with too little gas
         left for it all reverts.
    """
    if not to.is_contract:
        return True
    assert msg.gas > HOOK_GAS * 65 // 64 + 10_000, "gas"
    success: bool = False
    answer: Bytes[32] = b""
    success, answer = raw_call(
        to,
        abi_encode(
            msg.sender,
            empty(address),
            tokenId,
            convert(1, uint256),
            b"",
            method_id=method_id("onERC1155Received(address,address,uint256,uint256,bytes)"),
        ),
        max_outsize=32,
        gas=HOOK_GAS,
        revert_on_failure=False,
    )
    return success and len(answer) == 32 and convert(answer, bytes32) == convert(ACCEPTED, bytes32)


@internal
def _burn(to: address, tokenId: uint256, word: uint256):
    """
    @dev Takes off the right and, if it was minted, its token.
    """
    self.words[to][tokenId] = 0
    if word & MINTED != 0:
        log TransferSingle(_operator=msg.sender, _from=to, _to=empty(address), _id=tokenId, _value=1)


@internal
@view
def _is_live(word: uint256) -> bool:
    """
    @dev Whether what a wallet holds stands now.
    """
    return convert(self._expiry(word), uint256) > block.timestamp and not self._is_word_revoked(word)


@internal
@view
def _is_word_revoked(word: uint256) -> bool:
    """
    @dev Whether what a wallet holds is revoked.
    """
    return revocations._is_revoked(convert(word >> TAG_SHIFT, uint160), (word >> INDEX_SHIFT) & INDEX_MASK)


@internal
@pure
def _expiry(word: uint256) -> uint64:
    """
    @dev The end of what a wallet holds; 0 for nothing.
    """
    return convert((word >> EXPIRY_SHIFT) & EXPIRY_MASK, uint64)
