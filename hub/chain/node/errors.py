"""What a caller of the node can be told in the negative: one exception, with the codes that Ethereum clients know."""

from typing import Final

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
REFUSED: Final = -32000  # what go-ethereum answers for everything that a caller asked for and cannot have
LIMIT_EXCEEDED: Final = -32005  # EIP-1474
REVERTED: Final = 3  # go-ethereum's code of a reverted call, which ethers, viem and web3 look for


class RpcError(Exception):
    """An expected no: `code`, `message` and, for a revert, the returned `data` as hex."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def refused(message: str) -> RpcError:
    """The error of a well-formed request that cannot be granted."""
    return RpcError(REFUSED, message)


def invalid(message: str) -> RpcError:
    """The error of parameters that cannot be read."""
    return RpcError(INVALID_PARAMS, message)
