// The page: who is signed in, what is on sale, which wallet is there. Orders and rights have files of their own.
import { CATALOGUE, CHALLENGE, LINK, ME, UNLINK } from './documents.js';
import { $, button, element, label, say, short, told } from './elements.js';
import { connect } from './hub.js';
import { buy, follow, linkedWallet } from './order.js';
import { showRights } from './shelf.js';
import { Wallet, wallets } from './wallet.js';

// What all parts of the page share: the client, the person, the catalogue, the wallet, the chain it has to be on.
const page = { hub: null, me: null, catalogue: null, wallet: null, chain: null, mutate, refresh };

told(start);

async function start() {
  page.chain = await json('/demo/chain').catch(() => null); // none: nothing is sold for coins here
  signIn(sessionStorage.getItem('token'), sessionStorage.getItem('name'));
  const { kinds } = await json('/demo/sign-in');
  $('who').replaceChildren(...kinds.map((name) => button([name], () => become(name), { id: `as-${name}` })));
  await refresh();
  const order = new URLSearchParams(location.search).get('order') ?? sessionStorage.getItem('order');
  if (page.me && order) follow(page, order);
}

// ---- who ------------------------------------------------------------------------------------------------------------

async function become(name) {
  const { token } = await json('/demo/sign-in', { kind: name });
  sessionStorage.clear();
  sessionStorage.setItem('token', token);
  sessionStorage.setItem('name', name);
  location.assign('/demo'); // nothing of the one before is left
}

function signIn(token, name) {
  page.hub = connect('/graphql', token);
  page.name = name;
}

// The catalogue is for everybody; the rest is read once somebody is signed in.
async function refresh() {
  page.catalogue ??= await page.hub.ask(CATALOGUE);
  page.me = page.name ? (await page.hub.ask(ME)).viewer.user : null;
  for (const one of $('who').children) one.setAttribute('aria-pressed', one.textContent === page.name);
  showCourses();
  await showWallet();
  await showRights(page);
}

// The payload of a mutation; what it refuses is an Error with the hub's own words.
async function mutate(document, input) {
  const [payload] = Object.values(await page.hub.ask(document, { input }));
  if (payload.userErrors.length) throw Object.assign(new Error(payload.userErrors[0].message), payload.userErrors[0]);
  return payload;
}

async function json(url, body) {
  const posted = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
  const answer = await fetch(url, body && posted);
  const said = await answer.json().catch(() => ({ message: `${url}: ${answer.status}` }));
  if (!answer.ok) throw new Error(said.message);
  return said;
}

// ---- courses --------------------------------------------------------------------------------------------------------

function showCourses() {
  const shown = page.catalogue.courses.nodes.map((course) =>
    element('li', { title: course.title }, element('h3', { textContent: course.title }), ...course.listings.map((one) => offer(course, one))));
  $('courses').replaceChildren(...shown);
}

function offer(course, listing) {
  const { price } = listing;
  const isMine = page.me?.entitlements.nodes.some((right) => right.isOpen && right.course.id === course.id);
  const row = element('div', { className: 'row' }, element('span', { className: 'faint', textContent: listing.platform.name }));
  const opens = listing.isHonoured ? label('opens what you bought elsewhere', '通用') : label('price on request', '询价');
  if (!price) row.append(element('span', { className: 'badge' }, ...opens));
  if (price) row.append(element('span', { className: 'price', textContent: `${price.amount} ${price.currency}` }));
  if (isMine) row.append(element('span', { className: 'badge good' }, ...label('yours', '已拥有')));
  else if (price && page.me) row.append(...ways(listing));
  return row;
}

function ways(listing) {
  const isFree = Number(listing.price.amountMinor) === 0;
  const byCard = isFree ? label('Get it', '免费') : label('Card', '银行卡');
  const made = [button(byCard, () => buy(page, listing, 'sandbox'), { className: 'card', value: listing.id })];
  if (!isFree && page.wallet && page.catalogue.channels.some(({ code }) => code === 'stablecoin')) {
    const byCoins = () => buy(page, listing, 'stablecoin');
    made.push(button(label('Coins', '稳定币'), byCoins, { className: 'main coins', value: listing.id }));
  }
  return made;
}

// ---- wallet ---------------------------------------------------------------------------------------------------------

async function showWallet() {
  const { wallet, me } = page;
  if (!me) return note('Sign in first: one click on a name above. 请先登录');
  if (!page.chain) return note('This hub is on another chain than its own: the page helps no wallet there.');
  if (!wallet) return offerWallets();
  const { coins, gasWei } = await wallet.balances();
  const linked = linkedWallet(page);
  $('wallet-state').replaceChildren(
    element('div', { className: 'row' },
      element('code', { textContent: short(wallet.address), title: wallet.address }),
      linked && element('span', { className: 'badge good', id: 'linked' }, ...label('signed, yours', '已签名绑定')),
      element('span', { className: 'price', id: 'coins', textContent: `${(Number(coins) / 1e6).toFixed(2)} tUSD` })),
    element('div', { className: 'row' },
      button(label('Test coins, please', '领测试币'), fill, { id: 'fill' }),
      linked ? button(label('Unlink', '解绑'), () => unlink(linked), { id: 'unlink' })
        : button(label('Sign and link', '签名绑定'), link, { id: 'link', className: 'main' }),
      element('span', { className: 'faint', textContent: `${(Number(gasWei) / 1e18).toFixed(4)} ETH for gas` })),
  );
}

function note(text) {
  $('wallet-state').replaceChildren(element('p', { className: 'faint', textContent: text }));
}

function offerWallets() {
  const found = wallets();
  if (!found.length) {
    return note('No wallet was found in this browser. Any EIP-1193 wallet will do: install one, then reload. 未发现钱包');
  }
  const buttons = found.map(({ info, provider }) =>
    button(label(`Connect ${info.name}`, '连接钱包'), () => use(provider), { className: 'main connect' }));
  $('wallet-state').replaceChildren(
    element('p', { className: 'faint', textContent: 'A right can be a token of your own, and coins can pay for it.' }),
    element('div', { className: 'row' }, ...buttons));
}

async function use(provider) {
  const wallet = new Wallet(provider, page.chain);
  await wallet.connect();
  wallet.address = wallet.address.toLowerCase();
  page.wallet = wallet;
  provider.on?.('accountsChanged', () => location.reload());
  await refresh();
  if (!linkedWallet(page)) await link();
}

// EIP-4361: the hub's text, signed by the wallet, makes the address this person's.
async function link() {
  const { challenge } = await mutate(CHALLENGE, { address: page.wallet.address, uri: `${location.origin}/demo` });
  const signature = await page.wallet.signText(challenge.message);
  await mutate(LINK, { message: challenge.message, signature });
  await refresh();
}

async function unlink({ id }) {
  await mutate(UNLINK, { walletId: id });
  await refresh();
}

async function fill() {
  await json('/demo/coins', { address: page.wallet.address });
  await refresh();
  say('');
}
