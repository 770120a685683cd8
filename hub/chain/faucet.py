"""TestUSD and gas money for a wallet that tries the demo: on a chain of our own, where neither is worth anything."""

import asyncio
from dataclasses import dataclass
from typing import Final

from eth_utils.address import to_checksum_address

from contracts import abi
from hub.chain.answers import number_in
from hub.chain.client import JsonRpcChain
from hub.chain.rpc import Question
from hub.chain.signing import Key
from hub.chain.transacting import mined
from hub.domain.contracts import TEST_USD

COINS: Final = 500 * 10**6  # ten courses of the demo's dearest shelf
GAS_WEI: Final = 10**17  # 0.1 ether: some hundred purchases at the embedded node's fees


@dataclass(frozen=True, slots=True)
class Purse:
    """What an account holds, in millionths of a coin and in wei."""

    coins: int
    gas_wei: int


class Faucet:
    """Fills wallets up to COINS and GAS_WEI, so that asking again and again gives no more than was spent."""

    def __init__(self, chain: JsonRpcChain, payer: Key, coin: str) -> None:
        """`coin` is TestUSD, which anybody may make; `payer` has ether from the first block on."""
        self._chain = chain
        self._payer = payer
        self._coin = to_checksum_address(coin)
        self._giving = asyncio.Lock()  # the payer's nonces are taken one after another

    async def fill(self, address: str) -> Purse:
        """What the account holds then. Raises ChainUnavailable, ChainRefused; ValueError for what is no address."""
        wallet = to_checksum_address(address)
        async with self._giving:
            held = await self._purse(wallet)
            if held.coins < COINS:
                await self._send(self._coin, abi.call(TEST_USD, "mint", wallet, COINS - held.coins))
            if held.gas_wei < GAS_WEI:
                await self._send(wallet, b"", GAS_WEI - held.gas_wei)
            return await self._purse(wallet)

    async def _purse(self, wallet: str) -> Purse:
        ask_coins = {"to": self._coin, "data": "0x" + abi.call(TEST_USD, "balanceOf", wallet).hex()}
        coins, gas_wei = await self._chain.look_up(
            Question("eth_call", (ask_coins, "latest")), Question("eth_getBalance", (wallet, "latest"))
        )
        return Purse(number_in(coins), number_in(gas_wei))

    async def _send(self, to: str, data: bytes, value_wei: int = 0) -> None:
        nonce = await self._chain.count_transactions(self._payer.address, "latest")
        await mined(
            self._chain, await self._chain.sign(self._payer, to=to, data=data, nonce=nonce, value_wei=value_wei)
        )
