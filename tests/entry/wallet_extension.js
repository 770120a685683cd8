// A wallet as browsers' extensions bring them (EIP-1193, announced by EIP-6963). Its key is in the test's process,
// which SIGNER reaches; what is only read it asks of the chain's own node, from within the page.
{
  const chains = JSON.parse(localStorage.getItem('wallet chains') ?? '{}');
  let chainId = localStorage.getItem('wallet chain') ?? '0x1';
  const asked = [];
  window.walletAsked = asked; // for the test to look at
  window.walletRefuses = false;

  async function rpc(url, method, params) {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    const { result, error } = await answer.json();
    if (error) throw error;
    return result;
  }

  function enter(id) {
    chainId = id;
    localStorage.setItem('wallet chain', id);
    localStorage.setItem('wallet chains', JSON.stringify(chains));
    return null;
  }

  const provider = {
    async request({ method, params = [] }) {
      asked.push(method);
      switch (method) {
        case 'eth_chainId': return chainId;
        case 'wallet_switchEthereumChain':
          if (!chains[params[0].chainId]) throw { code: 4902, message: 'Unrecognized chain ID' };
          return enter(params[0].chainId);
        case 'wallet_addEthereumChain':
          chains[params[0].chainId] = params[0].rpcUrls[0];
          return enter(params[0].chainId);
        case 'eth_requestAccounts':
        case 'personal_sign':
        case 'eth_signTypedData_v4':
        case 'eth_sendTransaction':
          if (window.walletRefuses) throw { code: 4001, message: 'User rejected the request.' };
          return rpc(SIGNER, method, method === 'eth_sendTransaction' ? [...params, chains[chainId]] : params);
        default: return rpc(chains[chainId], method, params);
      }
    },
    on() {},
  };
  const info = { uuid: '6f1a3c1e-0000-4000-8000-000000000001', name: 'Testwallet', icon: 'data:,', rdns: 'test.wallet' };
  const announce = () => window.dispatchEvent(
    new CustomEvent('eip6963:announceProvider', { detail: Object.freeze({ info, provider }) }));
  window.addEventListener('eip6963:requestProvider', announce);
  announce();
}
