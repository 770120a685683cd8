// What a wallet does by ethers v6: node ethers.mjs URL KEY LOGGER_INITCODE REVERTER_INITCODE; prints what it saw.
import { Contract, ContractFactory, JsonRpcProvider, Wallet, id, zeroPadValue, toBeHex } from 'ethers';

const [url, key, logger, reverter] = process.argv.slice(2);
// It asks in batches by itself. Blocks come at once here: an answer kept for a quarter of a second gives a nonce twice.
const provider = new JsonRpcProvider(url, undefined, { cacheTimeout: -1 });
provider.pollingInterval = 100;
const wallet = new Wallet(key, provider);
const abi = [
  'event Seen(uint256 indexed number, bytes32 word)',
  'function Error(string reason)',
  'function NotYours(address who)',
  'error NotYours(address who)',
];
const word = (number) => zeroPadValue(toBeHex(number), 32);
const seen = (number) => id('Seen(uint256,bytes32)') + word(number).slice(2);
const caught = async (promise) => promise.then(() => null, (error) => error);

const deployed = async (code) => {
  const contract = await new ContractFactory(abi, code, wallet).deploy();
  await contract.waitForDeployment();
  return contract;
};
const [network, balance, fees] = await Promise.all([
  provider.getNetwork(),
  provider.getBalance(wallet.address),
  provider.getFeeData(),
]);
const [events, refusals] = [await deployed(logger), await deployed(reverter)];

const heard = [];
const blocks = [];
await events.on('Seen', (number, _, { log }) => heard.push([Number(number), log.blockHash]));
await provider.on('block', (number) => blocks.push(number));
await new Promise((done) => setTimeout(done, 500)); // both have begun

const receipts = [];
for (const [number, type] of [[7, 2], [8, 1], [9, 0]]) {
  const sent = await wallet.sendTransaction({ to: events.target, data: seen(number), type });
  receipts.push(await sent.wait());
}
const deadline = Date.now() + 30_000;
while (heard.length < 3 || blocks.at(-1) < receipts[2].blockNumber) {
  if (Date.now() > deadline) throw new Error(`heard ${JSON.stringify([heard, blocks])}`);
  await new Promise((done) => setTimeout(done, 50));
}
await provider.removeAllListeners();
await events.removeAllListeners();

const [receipt] = receipts;
const [logs, block, transaction, estimate] = await Promise.all([
  provider.getLogs({ blockHash: receipt.blockHash }),
  provider.getBlock(receipt.blockNumber, true),
  provider.getTransaction(receipt.hash),
  provider.estimateGas({ from: wallet.address, to: events.target, data: seen(7) }),
]);
const called = await caught(refusals.getFunction('Error').staticCall('NOT_YOURS'));
const estimated = await caught(refusals.getFunction('Error').estimateGas('NOT_YOURS'));
const custom = await caught(refusals.getFunction('NotYours').staticCall(wallet.address));
const failing = await wallet.sendTransaction({ to: refusals.target, gasLimit: 50_000 });
const failed = await caught(failing.wait());
const late = await caught(wallet.sendTransaction({ to: wallet.address, nonce: 0, gasLimit: 21_000 }));
const poor = await caught(wallet.sendTransaction({ to: wallet.address, value: balance * 2n, gasLimit: 21_000 }));
const beginner = Wallet.createRandom(provider);
const authorization = await beginner.authorize({ address: events.target });
const delegation = await wallet.sendTransaction({
  type: 4,
  to: beginner.address,
  data: seen(10),
  authorizationList: [authorization],
});
const delegated = await delegation.wait();

console.log(
  JSON.stringify({
    chainId: Number(network.chainId),
    feesGrow: fees.maxFeePerGas > fees.maxPriorityFeePerGas,
    types: receipts.map((one) => one.type),
    heard: heard.map(([number]) => number),
    heardOnce: heard.every(([, hash], at) => hash === receipts[at].blockHash),
    blocksRise: blocks.every((number, at) => at === 0 || number === blocks[at - 1] + 1),
    logsOfBlock: logs.map((log) => Number(events.interface.parseLog(log).args.number)),
    inBlock: block.prefetchedTransactions.map((one) => one.hash).includes(receipt.hash),
    signer: transaction.from === wallet.address,
    gas: [Number(estimate), Number(receipt.gasUsed)],
    reasons: [called.reason, estimated.reason, custom.revert.name, custom.revert.args[0] === wallet.address],
    codes: [called, estimated, failed, late, poor].map((error) => error.code),
    failed: failed.receipt.status,
    delegated: [delegated.status, delegated.logs[0].address === beginner.address],
  }),
);
provider.destroy();
