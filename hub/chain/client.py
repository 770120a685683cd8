"""The Chain port over JSON-RPC: any EVM node by URL, the embedded one like all others. The one code path."""

from collections.abc import Callable, Mapping
from typing import Final

from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from hub.chain import calls, results
from hub.chain.answers import member_of, number_in, octets_in, text_in
from hub.chain.keys import ChainKeys
from hub.chain.rpc import CALL_TIMEOUT_MS, Answer, Json, NodeSaidNo, Question, Rpc
from hub.chain.signing import Key
from hub.domain.records import KeyRole
from hub.ports import (
    AnchorState,
    ChainReceipt,
    ChainRefused,
    ChainUnavailable,
    FeeTooLow,
    LeafClaim,
    NonceTaken,
    SettledRight,
    Settlement,
    SignedTransaction,
    SigningRefused,
)

GAS_MAX: Final = 16_000_000  # EIP-7825 stops at 16,777,216, and not every node says so before it is too late
GAS_MARGIN_PERCENT: Final = 120  # of the estimate: the state may move between estimating and mining
BASE_FEE_ROOM: Final = 2  # times the base fee: it grows by an eighth a block at most, so six full blocks' worth
MAX_FEE_WEI: Final = 200 * 10**9  # a gas; 47,625 gas at this price are 0.0095 ether
MAX_TIP_WEI: Final = 2 * 10**9  # a gas; a batch is in no hurry
DEFAULT_TIP_WEI: Final = 10**9  # where a node has no opinion
OUTBID_PERCENT: Final = 113  # of the fee before: pools take a replacement from an eighth more on
PLAIN_GAS: Final = 21_000  # of a transfer of nothing
ALREADY_THERE: Final = ("already known", "alreadyknown", "known transaction", "already imported", "already exists")
NONCE_USED: Final = ("nonce too low", "oldnonce", "nonce is too low")
# Of nodes that keep no transaction for cheaper times, or whose pool holds a dearer one; most keep it and say nothing.
FEE_TOO_LOW: Final = ("less than block base fee", "underpriced", "fee too low", "feetoolow", "gas price below")
REVERTED: Final = 3  # JSON-RPC's code of a revert
INVALID_PARAMETERS: Final = -32602  # such as raw bytes that are no transaction
# A node's words that no waiting changes. All other errors may pass (no funds yet, fee too low now, busy): retry.
FINAL_WORDS: Final = (
    "revert",
    "out of gas",
    "outofgas",
    "evm error",  # how anvil calls every end of code that is no revert
    "opcode",
    "invalid jump",
    "stack underflow",
    "insufficientstack",
    "intrinsic gas",
    "gas limit too high",
    "exceeds block gas limit",
    "gas required exceeds allowance",
    "invalid sender",
    "invalid chain id",
    "max initcode size",
    "max priority fee per gas higher",
    "sender not an eoa",
    "tx fee exceeds",
)
# A contract's creation that answers with the time of its block: TIMESTAMP PUSH0 MSTORE PUSH1 32 PUSH0 RETURN.
TELL_TIME: Final = "0x425f5260205ff3"
# What a fee is made of.
ASK_FEE: Final = (Question("eth_getBlockByNumber", ("latest", False)), Question("eth_maxPriorityFeePerGas"))


class JsonRpcChain:
    """The hub's contract on one chain, asked and told through one node. See `hub.ports.Chain`.

    `locate` gives the node's URL (`lambda: url`, or `EmbeddedNode.url`); `keys` sign. With `chain_id` and
    `contract` (as recorded) the node is checked against them before the first use and after each failure, since
    another node may have taken the address; without `chain_id` the node's own is taken.
    """

    def __init__(
        self,
        locate: Callable[[], str],
        keys: ChainKeys,
        *,
        chain_id: int | None = None,
        contract: str | None = None,
        max_fee_wei: int = MAX_FEE_WEI,
        timeout_ms: int = CALL_TIMEOUT_MS,
    ) -> None:
        self._rpc = Rpc(locate, timeout_ms=timeout_ms)
        self._keys = keys
        self._chain_id = chain_id
        self._contract = None if contract is None else to_checksum_address(contract)
        self._max_fee_wei = max_fee_wei
        self._met_at: str | None = None  # URL of the node that was found to be the right one

    # ---- who is who ----

    @property
    def chain_id(self) -> int:
        if self._chain_id is None:
            raise ChainUnavailable("the node has not said yet which chain it is of")
        return self._chain_id

    @property
    def contract(self) -> str:
        if self._contract is None:
            raise ChainUnavailable("the contract is not deployed yet")
        return self._contract

    @property
    def sender(self) -> str:
        return self.address_of(KeyRole.GATEWAY)

    @property
    def senders(self) -> Mapping[str, str]:
        roles: dict[str, list[str]] = {}
        for role, key in self._keys.held.items():
            roles.setdefault(key.address, []).append(role)
        return {address: "+".join(names) for address, names in roles.items()}

    def address_of(self, role: KeyRole) -> str:
        return self._key(role).address

    def use_contract(self, address: str) -> None:
        """Ask this contract from now on: what `deploy` says once it is there."""
        self._contract = to_checksum_address(address)
        self._met_at = None

    async def connect(self) -> None:
        """Raises ChainRefused when the node is of another chain, or has other code at the contract's address."""
        self._met_at = None
        await self._meet()

    # ---- transactions ----

    async def mined_nonce(self, sender: str, depth: int = 1) -> int:
        if depth == 1:
            return await self.count_transactions(sender, "latest")
        head = number_in(await self._ask(Question("eth_blockNumber")))
        return await self.count_transactions(sender, hex(max(head - depth + 1, 0)))

    async def now_s(self) -> int:
        newest, pending = await self._ask_all(
            Question("eth_getBlockByNumber", ("latest", False)),
            Question("eth_call", ({"data": TELL_TIME}, "pending")),
        )
        told = number_in(member_of(_granted(newest), "timestamp"))
        # Not every node knows a block to come; but those whose newest may be old do.
        return told if isinstance(pending, NodeSaidNo) else max(told, int.from_bytes(octets_in(pending)))

    async def sign_anchor(self, root: bytes, count: int, data_hash: bytes, nonce: int) -> SignedTransaction:
        """Raises ChainRefused "… anchored" for a root that is there already: then `anchored` tells, and all is well."""
        return await self.sign_call(self.contract, calls.anchor(root, count, data_hash), nonce)

    async def sign_revoke(self, contract: str, root: bytes, word: int, mask: int, nonce: int) -> SignedTransaction:
        return await self.sign_call(contract, calls.revoke(root, word, mask), nonce, KeyRole.REVOKER)

    async def sign_settlement(
        self, order_key: bytes, right: SettledRight, deadline: int, nonce: int
    ) -> SignedTransaction:
        result = results.PaymentResult(
            order_key, right.commitment, right.to, right.token_id, right.expiry, deadline
        )  # fmt: skip
        data = results.typed_data(result, self.chain_id, self.contract)
        signature = await self._key(KeyRole.SIGNER).typed_data(data)
        return await self.sign_call(self.contract, results.settle(result, signature), nonce)

    async def sign_revoke_order(self, contract: str, order_key: bytes, nonce: int) -> SignedTransaction:
        return await self.sign_call(contract, calls.revoke_order(order_key), nonce, KeyRole.REVOKER)

    async def sign_call(
        self, to: str, data: bytes, nonce: int, by: KeyRole = KeyRole.GATEWAY
    ) -> SignedTransaction:
        return await self.sign(self._key(by), to=to_checksum_address(to), data=data, nonce=nonce)

    async def sign(
        self, key: Key, *, to: str | None, data: bytes, nonce: int, value_wei: int = 0
    ) -> SignedTransaction:
        """A transaction signed by `key`; `to` None creates a contract.

        Gas and fee come from the node. Raises ChainRefused when it would revert or need more than GAS_MAX, and
        ChainUnavailable while the base fee is above `max_fee_wei`.
        """
        call = {"from": key.address, "data": _hex(data)} | ({} if to is None else {"to": to})
        call |= {"value": hex(value_wei)} if value_wei else {}
        block, tip, estimate = await self._ask_all(*ASK_FEE, Question("eth_estimateGas", (call,)))
        max_fee_wei, tip_wei = self._fee(member_of(_granted(block), "baseFeePerGas"), tip)
        gas = number_in(_granted(estimate))
        if gas > GAS_MAX:
            raise ChainRefused(f"the transaction needs {gas} gas, more than {GAS_MAX}")
        gas = min(gas * GAS_MARGIN_PERCENT // 100, GAS_MAX)
        return await self._signed(key, to, data, nonce, gas, max_fee_wei, tip_wei, value_wei)

    async def sign_replacement(self, raw: str, sender: str) -> SignedTransaction:
        key = self._key_of(sender)
        before = TypedTransaction.from_bytes(HexBytes(raw)).as_dict()
        block, tip = await self._ask_all(*ASK_FEE)
        now_fee_wei, now_tip_wei = self._fee(member_of(_granted(block), "baseFeePerGas"), tip)
        tip_wei = max(now_tip_wei, before["maxPriorityFeePerGas"] * OUTBID_PERCENT // 100 + 1)
        max_fee_wei = max(now_fee_wei, before["maxFeePerGas"] * OUTBID_PERCENT // 100 + 1)
        if max_fee_wei > self._max_fee_wei:
            raise ChainUnavailable(f"to outbid itself it would need {max_fee_wei} wei, above {self._max_fee_wei}")
        return await self._signed(
            key, _hex(before["to"]), before["data"], before["nonce"], before["gas"], max_fee_wei, tip_wei
        )

    async def sign_nothing(self, nonce: int, sender: str) -> SignedTransaction:
        key = self._key_of(sender)
        block, tip = await self._ask_all(*ASK_FEE)
        max_fee_wei, tip_wei = self._fee(member_of(_granted(block), "baseFeePerGas"), tip)
        return await self._signed(key, sender, b"", nonce, PLAIN_GAS, max_fee_wei, tip_wei)

    async def _signed(
        self, key: Key, to: str | None, data: bytes, nonce: int, gas: int, max_fee_wei: int, tip_wei: int,
        value_wei: int = 0,
    ) -> SignedTransaction:  # fmt: skip
        return await key.transaction(
            {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": nonce,
                **({} if to is None else {"to": to_checksum_address(to)}),
                "value": value_wei,
                "data": data,
                "gas": gas,
                "maxFeePerGas": max_fee_wei,
                "maxPriorityFeePerGas": tip_wei,
            }
        )

    def _key(self, role: KeyRole) -> Key:
        if (key := self._keys.of(role)) is None:
            raise SigningRefused(f"this hub has no {role}'s key: see `hub docs contracts`")
        return key

    def _key_of(self, sender: str) -> Key:
        """Also of a gateway that was replaced, as long as its key is there."""
        for key in self._keys.held.values():
            if key.address == sender:
                return key
        raise ChainUnavailable(f"{sender} is no key of this hub any more: what it signed can only be sent again")

    async def send(self, transaction: SignedTransaction) -> None:
        """Raises ChainRefused when this transaction can never be mined, as when another one took its nonce, and
        FeeTooLow when that is a matter of money."""
        try:
            said = await self._ask_raw(Question("eth_sendRawTransaction", (transaction.raw,)))
        except NodeSaidNo as no:
            words = str(no).lower()
            if any(known in words for known in ALREADY_THERE):
                return
            if any(used in words for used in NONCE_USED):
                if await self._is_in_a_block(transaction.hash):
                    return
                raise NonceTaken(f"nonce {transaction.nonce} is another transaction's: {no}") from no
            if any(cheap in words for cheap in FEE_TOO_LOW):
                raise FeeTooLow(f"the node wants more for it: {no}") from no
            raise _verdict(no) from no
        if said != transaction.hash:
            raise ChainUnavailable("the node took the transaction under another hash")

    async def receipt(self, hash_: str) -> ChainReceipt | None:
        receipt, head = await self._ask_all(
            Question("eth_getTransactionReceipt", (hash_,)), Question("eth_blockNumber")
        )
        if _granted(receipt) is None:
            return None
        block_number = number_in(member_of(receipt, "blockNumber"))
        return ChainReceipt(
            hash=hash_,
            is_ok=number_in(member_of(receipt, "status")) == 1,
            block_number=block_number,
            block_hash=text_in(member_of(receipt, "blockHash")),
            gas_used=number_in(member_of(receipt, "gasUsed")),
            gas_price_wei=number_in(member_of(receipt, "effectiveGasPrice")),
            confirmations=max(number_in(_granted(head)) - block_number + 1, 1),  # the head may have been read before
        )

    # ---- asking the contract ----

    async def anchored(self, root: bytes, contract: str = "") -> AnchorState:
        state, _ = calls.anchor_in(await self._ask(self._view(calls.anchored(root), contract)))
        return state

    async def is_revoked(self, root: bytes, index: int, contract: str = "") -> bool:
        bit, whole = calls.revoked(root, index), calls.anchored(root)
        word, anchor = await self._ask_all(self._view(bit, contract), self._view(whole, contract))
        _, is_root_revoked = calls.anchor_in(_granted(anchor))
        return is_root_revoked or bool(calls.number_in("revoked", _granted(word)) >> (index & 255) & 1)

    async def settlement(self, order_key: bytes, contract: str = "") -> Settlement:
        return calls.settlement_in(await self._ask(self._view(calls.settled(order_key), contract)))

    async def verify(self, claim: LeafClaim) -> bool:
        (answer,) = await self.verify_many((claim,))
        return answer

    async def verify_many(self, claims: tuple[LeafClaim, ...]) -> tuple[bool, ...]:
        """A claim that does not fit the contract's types is no right: False, without asking."""
        data = [(calls.verify(claim), claim.contract) for claim in claims]
        asked = [self._view(call, contract) for call, contract in data if call is not None]
        answers = iter(await self._ask_all(*asked))
        return tuple(call is not None and calls.truth_in("verify", _granted(next(answers))) for call, _ in data)

    async def approves(self, account: str, digest: bytes, signature: bytes) -> bool:
        """A contract that reverts, or fails otherwise, has not approved."""
        asked = {"to": account, "data": _hex(calls.is_valid_signature(digest, signature))}
        try:
            said = await self._ask(Question("eth_call", (asked, "latest")))
        except ChainRefused:
            return False
        return isinstance(said, str) and said.lower() == calls.SIGNATURE_IS_VALID

    def claim_call(self, claim: LeafClaim) -> str | None:
        data = calls.claim(claim)
        return None if data is None else _hex(data)

    async def roles_of(self, account: str, contract: str = "") -> int:
        """Sum of the role bits that an EntitlementHub, by default the present one, knows of an account."""
        return calls.number_in("roles", await self._ask(self._view(calls.roles(account), contract)))

    # ---- asking the node ----

    async def count_transactions(self, account: str, tag: str) -> int:
        """The next nonce of an account after the block that `tag` names: "latest", or a number in hexadecimal."""
        return number_in(await self._ask(Question("eth_getTransactionCount", (account, tag))))

    async def code_hashes(self, addresses: tuple[str, ...]) -> tuple[bytes | None, ...]:
        """Keccak of the code at each address; None where there is none."""
        answers = await self._ask_all(*(Question("eth_getCode", (address, "latest")) for address in addresses))
        return tuple(_code_hash(_granted(answer)) for answer in answers)

    async def balance_wei(self, account: str) -> int:
        """What an account can spend on gas: for the operator, who fills it on a real chain."""
        return number_in(await self._ask(Question("eth_getBalance", (account, "latest"))))

    async def gas_price_wei(self) -> int:
        return number_in(await self._ask(Question("eth_gasPrice")))

    async def look_up(self, *questions: Question) -> list[Answer]:
        """Answers for whoever reads more of the chain than this port tells; a refused one stands as its NodeSaidNo."""
        return await self._ask_all(*questions)

    async def aclose(self) -> None:
        await self._rpc.aclose()

    # ---- inside ----

    def _view(self, data: bytes, contract: str = "") -> Question:
        return Question("eth_call", ({"to": contract or self.contract, "data": _hex(data)}, "latest"))

    def _fee(self, base_fee: Json, tip: Answer) -> tuple[int, int]:
        """Most per gas, and the tip in it. The room above the base fee shrinks under the cap, the tip not to zero."""
        base_fee_wei = number_in(base_fee)
        wanted_tip_wei = DEFAULT_TIP_WEI if isinstance(tip, NodeSaidNo) else number_in(tip)
        tip_wei = min(wanted_tip_wei, MAX_TIP_WEI, self._max_fee_wei)
        if base_fee_wei + tip_wei > self._max_fee_wei:
            raise ChainUnavailable(f"gas costs {base_fee_wei} wei now, with tip above the cap {self._max_fee_wei}")
        return min(base_fee_wei * BASE_FEE_ROOM + tip_wei, self._max_fee_wei), tip_wei

    async def _is_in_a_block(self, hash_: str) -> bool:
        return await self._ask(Question("eth_getTransactionReceipt", (hash_,))) is not None

    async def _ask(self, question: Question) -> Json:
        try:
            return await self._ask_raw(question)
        except NodeSaidNo as no:
            raise _verdict(no) from no

    async def _ask_raw(self, question: Question) -> Json:
        await self._ensure_met()
        try:
            return await self._rpc.ask(question)
        except ChainUnavailable:
            self._met_at = None
            raise

    async def _ask_all(self, *questions: Question) -> list[Answer]:
        await self._ensure_met()
        try:
            return await self._rpc.ask_all(questions)
        except ChainUnavailable:
            self._met_at = None
            raise

    async def _ensure_met(self) -> None:
        """A wrong node later on says nothing about our transactions, so it is merely no answer."""
        if self._met_at == self._rpc.url:
            return
        try:
            await self._meet()
        except ChainRefused as refusal:
            raise ChainUnavailable(str(refusal)) from refusal

    async def _meet(self) -> None:
        url = self._rpc.url
        questions = [Question("eth_chainId")]
        if self._contract is not None:
            questions.append(Question("eth_getCode", (self._contract, "latest")))
        chain_id, *code = (_granted(answer) for answer in await self._rpc.ask_all(questions))
        if self._chain_id not in (None, number_in(chain_id)):
            raise ChainRefused(f"the node is of chain {number_in(chain_id)}, not {self._chain_id}")
        if code and _code_hash(code[0]) != calls.entitlement_hub().runtime_hash:
            place = f"{self._contract} of chain {number_in(chain_id)}"
            raise ChainRefused(f"at {place} is not this version's EntitlementHub")
        self._chain_id = number_in(chain_id)
        self._met_at = url


def _verdict(no: NodeSaidNo) -> ChainRefused | ChainUnavailable:
    """Final, or to be tried again? In doubt the latter: unknown is never failure."""
    words = str(no).lower()
    is_final = no.code in (REVERTED, INVALID_PARAMETERS) or any(final in words for final in FINAL_WORDS)
    return ChainRefused(str(no)) if is_final else ChainUnavailable(f"the node cannot now: {no}")


def _granted(answer: Answer) -> Json:
    if isinstance(answer, NodeSaidNo):
        raise _verdict(answer) from answer
    return answer


def _code_hash(said: Json) -> bytes | None:
    code = octets_in(said)
    return keccak(code) if code else None


def _hex(octets: bytes) -> str:
    return "0x" + bytes(octets).hex()
