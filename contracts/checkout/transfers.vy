# pragma version 0.4.3
"""
@title Transfers: coins in and out, of tokens that answer yes, nothing at all, no, or revert
@license Apache-2.0
"""


interface Token:
    def balanceOf(account: address) -> uint256: view
    def transfer(to: address, amount: uint256) -> bool: nonpayable
    def transferFrom(owner: address, to: address, amount: uint256) -> bool: nonpayable


@internal
def _take(token: address, payer: address, amount: uint256):
    """
    @dev Pulls what is allowed; whether it arrived is looked at by the caller.
    """
    assert extcall Token(token).transferFrom(payer, self, amount, default_return_value=True), "transfer"


@internal
def _pay(token: address, receiver: address, amount: uint256):
    assert extcall Token(token).transfer(receiver, amount, default_return_value=True), "transfer"


@internal
def _is_paid(token: address, receiver: address, amount: uint256) -> bool:
    """
    @dev Whether a token took a transfer: false for one that reverts or answers no.
    """
    is_done: bool = False
    answer: Bytes[32] = b""
    is_done, answer = raw_call(
        token,
        abi_encode(receiver, amount, method_id=method_id("transfer(address,uint256)")),
        max_outsize=32,
        revert_on_failure=False,
    )
    return is_done and (len(answer) == 0 or convert(answer, uint256) == 1)


@internal
@view
def _held(token: address) -> uint256:
    return staticcall Token(token).balanceOf(self)
