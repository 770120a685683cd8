// What a page does by viem: node viem.mjs URL KEY LOGGER_INITCODE REVERTER_INITCODE; prints what it saw.
import {
  createPublicClient,
  createWalletClient,
  decodeErrorResult,
  defineChain,
  encodeErrorResult,
  encodeEventTopics,
  http,
  isAddressEqual,
  pad,
  parseAbi,
  toHex,
} from 'viem';
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts';

const [url, key, logger, reverter] = process.argv.slice(2);
const account = privateKeyToAccount(key);
const transport = http(url, { batch: true });
const asked = createPublicClient({ transport });
const chain = defineChain({
  id: await asked.getChainId(),
  name: 'Tongbao',
  nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
  rpcUrls: { default: { http: [url] } },
});
const reader = createPublicClient({ chain, transport, pollingInterval: 100 });
const wallet = createWalletClient({ account, chain, transport });
const abi = parseAbi([
  'event Seen(uint256 indexed number, bytes32 word)',
  'function Error(string reason)',
  'function NotYours(address who)',
  'error NotYours(address who)',
]);
const seen = (number) => encodeEventTopics({ abi, eventName: 'Seen', args: { number: BigInt(number) } }).reduce(
  (data, topic) => data + topic.slice(2),
);
const mined = (hash) => reader.waitForTransactionReceipt({ hash });
const deployed = async (bytecode) => (await mined(await wallet.deployContract({ abi, bytecode }))).contractAddress;
const caught = async (promise) => promise.then(() => null, (error) => error);
const events = await deployed(logger);
const refusals = await deployed(reverter);

const heard = [];
const blocks = [];
const unwatchEvents = reader.watchContractEvent({ address: events, abi, onLogs: (logs) => heard.push(...logs) });
const unwatchBlocks = reader.watchBlocks({ onBlock: (block) => blocks.push(Number(block.number)), emitMissed: true });
await new Promise((done) => setTimeout(done, 500)); // both have begun

const receipts = [];
for (const [number, type] of [[7, 'eip1559'], [8, 'eip2930'], [9, 'legacy']]) {
  receipts.push(await mined(await wallet.sendTransaction({ to: events, data: seen(number), type })));
}
const deadline = Date.now() + 30_000;
while (heard.length < 3 || blocks.at(-1) < Number(receipts[2].blockNumber)) {
  if (Date.now() > deadline) throw new Error(`heard ${heard.length}, ${blocks}`);
  await new Promise((done) => setTimeout(done, 50));
}
unwatchEvents();
unwatchBlocks();

const [receipt] = receipts;
const [logs, block, transaction, gas, fees, nonce] = await Promise.all([
  reader.getLogs({ blockHash: receipt.blockHash }),
  reader.getBlock({ blockHash: receipt.blockHash, includeTransactions: true }),
  reader.getTransaction({ hash: receipt.transactionHash }),
  reader.estimateGas({ account, to: events, data: seen(7) }),
  reader.estimateFeesPerGas(),
  reader.getTransactionCount({ address: account.address, blockTag: 'pending' }),
]);
const asking = { account, address: refusals, abi, functionName: 'Error', args: ['NOT_YOURS'] };
const simulated = await caught(reader.simulateContract(asking));
const estimated = await caught(reader.estimateContractGas(asking));
const data = encodeErrorResult({ abi, errorName: 'NotYours', args: [account.address] });
const custom = (await caught(reader.call({ to: refusals, data }))).walk((error) => error.data);
const beginner = privateKeyToAccount(generatePrivateKey());
const authorization = await wallet.signAuthorization({ account: beginner, contractAddress: events });
const delegated = await mined(
  await wallet.sendTransaction({ to: beginner.address, data: seen(10), authorizationList: [authorization] }),
);

console.log(
  JSON.stringify({
    chainId: chain.id,
    types: receipts.map((one) => one.type),
    heard: heard.map((log) => Number(log.args.number)),
    heardOnce: heard.every((log, at) => log.blockHash === receipts[at].blockHash),
    blocksRise: blocks.every((number, at) => at === 0 || number === blocks[at - 1] + 1),
    logsOfBlock: logs.map((log) => Number(BigInt(log.topics[1]))),
    inBlock: block.transactions.map((one) => one.hash).includes(receipt.transactionHash),
    signer: isAddressEqual(transaction.from, account.address),
    gas: [Number(gas), Number(receipt.gasUsed)],
    feesGrow: fees.maxFeePerGas > fees.maxPriorityFeePerGas,
    nonce,
    reasons: [
      ...[simulated, estimated].map((error) => error.walk((one) => one.reason !== undefined).reason),
      decodeErrorResult({ abi, data: custom.data.data ?? custom.data }).args[0] === account.address,
    ],
    unread: await reader.getStorageAt({ address: events, slot: pad(toHex(0)) }),
    delegated: [delegated.status, isAddressEqual(delegated.logs[0].address, beginner.address)],
  }),
);
