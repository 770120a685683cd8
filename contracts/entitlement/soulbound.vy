# pragma version 0.4.3
"""
@title Soulbound: what a wallet holds, as an ERC-1155 token that cannot move
@license Apache-2.0
"""

from ..shared import ownership
from . import holdings

uses: ownership
uses: holdings


event UriSet:
    uri: String[MAX_URI]


# How many balances one call reads, the longest metadata address, the longest data of a transfer that is refused.
MAX_BALANCES: constant(uint256) = 128
MAX_URI: constant(uint256) = 256
MAX_DATA: constant(uint256) = 1_024


metadata: String[MAX_URI]


@external
@view
def balanceOf(account: address, id: uint256) -> uint256:
    """
    @notice The number of tokens of a course that a wallet has. It changes together with a transfer event alone: a
            revoked or expired token counts until it is burned. Whether there is access is told by `hasAccess`.
    @param account Any wallet.
    @param id The course.
    @return 0 or 1.
    """
    return holdings.words[account][id] & holdings.MINTED


@external
@view
def balanceOfBatch(
    accounts: DynArray[address, MAX_BALANCES], ids: DynArray[uint256, MAX_BALANCES]
) -> DynArray[uint256, MAX_BALANCES]:
    """
    @notice Several balances at once.
    @param accounts At most 128 wallets.
    @param ids As many courses.
    @return The balance of each wallet and course, in their order.
    """
    assert len(accounts) == len(ids), "length"
    balances: DynArray[uint256, MAX_BALANCES] = []
    for i: uint256 in range(len(ids), bound=MAX_BALANCES):
        balances.append(holdings.words[accounts[i]][ids[i]] & holdings.MINTED)
    return balances


@external
@view
def locked(to: address, tokenId: uint256) -> bool:
    """
    @notice Whether a wallet has a token that cannot move; every token here is soulbound.
    @param to Any wallet.
    @param tokenId The course.
    @return The same as whether its balance is 1.
    """
    return holdings.words[to][tokenId] & holdings.MINTED != 0


@external
@view
def uri(id: uint256) -> String[MAX_URI]:
    """
    @notice Where a course's metadata is; nothing of its holders is there.
    @param id Any course; the address is the same for all, with `{id}` in it for clients to fill in.
    @return The address, empty until the owner has set it.
    """
    return self.metadata


@external
def setUri(uri: String[MAX_URI]):
    """
    @notice Says where wallets find the metadata of courses.
    @dev OWNER only.
    @param uri An address with `{id}` in it, as ERC-1155 has it; at most 256 bytes.
    """
    ownership._demand_owner()
    self.metadata = uri
    log UriSet(uri=uri)


@external
@pure
def isApprovedForAll(account: address, operator: address) -> bool:
    """
    @notice Soulbound: nobody may move another's tokens.
    @param account Anybody.
    @param operator Anybody.
    @return Always false.
    """
    return False


@external
@pure
def setApprovalForAll(operator: address, approved: bool):
    """
    @notice Soulbound: always reverts.
    @param operator Anybody.
    @param approved Anything.
    """
    raise "soulbound"


@external
@pure
def safeTransferFrom(owner: address, to: address, id: uint256, amount: uint256, data: Bytes[MAX_DATA]):
    """
    @notice Soulbound: always reverts.
    @param owner Anybody.
    @param to Anybody.
    @param id Anything.
    @param amount Anything.
    @param data Anything.
    """
    raise "soulbound"


@external
@pure
def safeBatchTransferFrom(
    owner: address,
    to: address,
    ids: DynArray[uint256, MAX_BALANCES],
    amounts: DynArray[uint256, MAX_BALANCES],
    data: Bytes[MAX_DATA],
):
    """
    @notice Soulbound: always reverts.
    @param owner Anybody.
    @param to Anybody.
    @param ids Anything.
    @param amounts Anything.
    @param data Anything.
    """
    raise "soulbound"


@external
@pure
def supportsInterface(interfaceId: bytes4) -> bool:
    """
    @notice ERC-165.
    @param interfaceId Any interface.
    @return True for ERC-165, ERC-1155 and its metadata.
    """
    return interfaceId in [0x01ffc9a7, 0xd9b67a26, 0x0e89341c]
