// A wallet in this browser: found (EIP-6963, else window.ethereum), asked (EIP-1193), brought to the hub's own chain.

const ASK_AGAIN_MS = 400;
const MINED_WITHIN_MS = 60_000;
const UNKNOWN_CHAIN = 4902;
// What wallets say by number, in words.
const PLAIN = {
  4001: 'You refused it in the wallet. 已在钱包中拒绝',
  4100: 'The wallet has not let this page use that account. 未授权',
  4900: 'The wallet is not connected to any chain. 钱包未连接',
  4901: 'The wallet is not connected to the hub’s chain. 链不对',
  '-32002': 'The wallet is still showing an earlier question: look there first. 请先处理钱包中的请求',
};

const announced = new Map(); // by the id that each wallet gives itself
window.addEventListener('eip6963:announceProvider', ({ detail }) => announced.set(detail.info.uuid, detail));

// The wallets that are there: { info: { name }, provider }.
export function wallets() {
  window.dispatchEvent(new Event('eip6963:requestProvider'));
  if (announced.size) return [...announced.values()];
  return window.ethereum ? [{ info: { name: 'Wallet' }, provider: window.ethereum }] : [];
}

export class Wallet {
  // `chain` is what the demo says of its own: chainId, name, rpcUrl, coin.
  constructor(provider, chain) {
    this.provider = provider;
    this.chain = chain;
    this.address = null;
  }

  // Asks the person which account to show; then the chain.
  async connect() {
    [this.address] = await this.ask('eth_requestAccounts');
    await this.enterChain();
  }

  async enterChain() {
    const { chainId, name, rpcUrl } = this.chain;
    if (await this.ask('eth_chainId') === chainId) return;
    try {
      await this.ask('wallet_switchEthereumChain', { chainId });
    } catch (error) {
      if (error.code !== UNKNOWN_CHAIN) throw error;
      const nativeCurrency = { name: 'Test ether', symbol: 'ETH', decimals: 18 };
      await this.ask('wallet_addEthereumChain', { chainId, chainName: name, rpcUrls: [rpcUrl], nativeCurrency });
    }
    if (await this.ask('eth_chainId') !== chainId) throw new Error(PLAIN[4901]);
  }

  signText(text) {
    const bytes = [...new TextEncoder().encode(text)];
    return this.ask('personal_sign', `0x${bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('')}`, this.address);
  }

  signData(data) {
    return this.ask('eth_signTypedData_v4', this.address, JSON.stringify(data));
  }

  // A transaction in a block; an Error where it failed there.
  async send({ to, data, value = '0' }) {
    await this.enterChain();
    const sent = { from: this.address, to, data, value: `0x${BigInt(value).toString(16)}` };
    const hash = await this.ask('eth_sendTransaction', sent);
    for (const end = Date.now() + MINED_WITHIN_MS; Date.now() < end; ) {
      const receipt = await this.ask('eth_getTransactionReceipt', hash);
      if (receipt?.status === '0x1') return receipt;
      if (receipt) throw new Error(`The transaction ${hash} failed on chain. 交易失败`);
      await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN_MS));
    }
    throw new Error(`The transaction ${hash} is in no block yet. 仍未确认`);
  }

  // What a purchase asks: sign, put the signature behind the calldata, send one by one.
  async carryOut({ sign, transactions }) {
    await this.enterChain();
    const signature = sign && parted(await this.signData(sign));
    for (const { to, data, value, appends } of transactions) {
      await this.send({ to, value, data: data + appends.map((name) => signature[name]).join('') });
    }
  }

  async balances() {
    const coins = await this.number(this.chain.coin, '0x70a08231', this.address); // balanceOf(address)
    return { coins, gasWei: BigInt(await this.ask('eth_getBalance', this.address, 'latest')) };
  }

  // How many of a right's token this account has: balanceOf(address,uint256).
  tokens(contract, tokenId) {
    return this.number(contract, '0x00fdd58e', this.address, tokenId);
  }

  async number(to, selector, ...words) {
    const data = selector + words.map((word) => BigInt(word).toString(16).padStart(64, '0')).join('');
    return BigInt(await this.ask('eth_call', { to, data }, 'latest'));
  }

  async ask(method, ...params) {
    try {
      return await this.provider.request({ method, params });
    } catch (error) {
      const code = error.data?.originalError?.code ?? error.code;
      const plain = new Error(PLAIN[code] ?? `The wallet says: ${error.message ?? error}`);
      throw Object.assign(plain, { code });
    }
  }
}

// r, s and v of 65 bytes, each as a word of 32. Some wallets count v from 0.
function parted(signature) {
  const hex = signature.slice(2);
  const v = BigInt(`0x${hex.slice(128)}`);
  return { r: hex.slice(0, 64), s: hex.slice(64, 128), v: (v < 27n ? v + 27n : v).toString(16).padStart(64, '0') };
}
