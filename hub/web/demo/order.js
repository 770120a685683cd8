// One order: asked for, paid by card or by the wallet's coins, and followed live until it is proven on chain.
import { CHECKOUT, FOLLOW } from './documents.js';
import { $, element, label, say, told } from './elements.js';

// How far an order is: what the hub says of it, and the step that this completes.
const STEPS = [
  ['ordered', '下单', () => true],
  ['paid', '已付款', ({ status }) => status === 'PAID'],
  ['open', '已开通', ({ entitlement }) => entitlement?.isOpen],
  ['on chain', '已上链', ({ chainStatus }) => ['SUBMITTED', 'CONFIRMED', 'FINALIZED'].includes(chainStatus)],
  // By a proof under a batch's root, or where the wallet's own purchase has settled it by the contract's word alone.
  ['proven', '可验证', ({ chainStatus }) => ['CONFIRMED', 'FINALIZED'].includes(chainStatus)],
];

let following = new AbortController();

export async function buy(page, listing, channel) {
  const { amountMinor, currency } = listing.price; // what the buyer saw: the hub refuses any other price
  const { order, paymentAttempt } = await page.mutate(CHECKOUT, {
    listingId: listing.id,
    channel,
    walletId: linkedWallet(page)?.id ?? null, // its token is then for the wallet from the first record on
    method: channel === 'stablecoin' ? `permit:${page.wallet.address}` : null,
    expectedAmount: { amountMinor, currency },
    returnUrl: `${location.origin}/demo`,
    idempotencyKey: crypto.randomUUID(),
  });
  sessionStorage.setItem('order', order.id); // for when the provider's page sends the buyer back
  follow(page, order.id);
  if (paymentAttempt) await pay(page, paymentAttempt);
}

async function pay(page, { nextAction, lastError }) {
  if (lastError?.providerCode === 'offer_not_open_yet') {
    throw new Error('Its price is on its way to the chain: try again in a few seconds. 价格正在上链，请稍候再试');
  }
  if (lastError) throw new Error(`The payment was not taken: ${lastError.providerCode ?? lastError.code}`);
  if (nextAction?.kind === 'REDIRECT') return location.assign(nextAction.url);
  if (nextAction?.kind !== 'TYPED_DATA') return undefined;
  say('Look at your wallet: a signature for the price, then a transaction. 请在钱包中确认');
  await page.wallet.carryOut(JSON.parse(nextAction.data));
  say('');
  return page.refresh();
}

export function linkedWallet({ me, wallet }) {
  return wallet && me.wallets.find(({ address }) => address.toLowerCase() === wallet.address);
}

// From the order's first event on, over Server-Sent Events; a cut is made good from the last cursor.
export function follow(page, id) {
  following.abort();
  following = new AbortController();
  const { signal } = following;
  $('order').hidden = false;
  $('events').replaceChildren();
  return told(async () => {
    const seen = new Set(); // after a cut an event may come twice
    let before = {};
    const updates = page.hub.follow(FOLLOW, { order: id, after: '' }, (data) => data.orderUpdated.event.cursor, signal);
    for await (const { orderUpdated: { event, order } } of updates) {
      if (seen.has(event.id)) continue;
      seen.add(event.id);
      show(page, order, event);
      const isNews = order.status !== before.status || order.chainStatus !== before.chainStatus;
      before = order;
      if (isNews) await page.refresh();
    }
  });
}

function show(page, order, event) {
  $('order-number').textContent = order.number;
  const done = STEPS.map(([, , isDone]) => Boolean(isDone(order)));
  $('steps').replaceChildren(...STEPS.map(([english, chinese], place) => element('li', {
    className: done[place] ? 'done' : place === done.indexOf(false) ? 'now' : '',
  }, ...label(english, chinese))));
  const at = new Date(event.occurredAt).toLocaleTimeString();
  $('events').append(element('li', { textContent: `${at} ${event.kind} ${event.payload?.attempt ?? ''}` }));
  const state = `${order.course.title}, ${order.total.amount} ${order.total.currency}: ${order.status}`;
  $('order-state').replaceChildren(...[
    element('p', { textContent: state }),
    order.receipt && receipt(order),
    order.proof && proof(page, order),
  ].filter(Boolean));
}

// What the hub has signed at the purchase: the claims of its JWS.
function receipt({ receipt: { jws }, number }) {
  const claims = atob(jws.split('.')[1].replaceAll('-', '+').replaceAll('_', '/'));
  const file = URL.createObjectURL(new Blob([jws], { type: 'application/jose' }));
  return element('details', { id: 'receipt' },
    element('summary', {}, ...label('Receipt, signed by the hub', '收据')),
    element('code', { textContent: claims }), ' ',
    element('a', { href: file, download: `${number}.receipt.jws`, textContent: 'download' }));
}

function proof(page, { id, number, anchorBatch }) {
  const code = element('img', { className: 'qr', alt: 'The proof bundle as a QR code', hidden: true });
  const file = element('a', { href: '#', textContent: `${number}.proof.json`, id: 'proof' });
  file.addEventListener('click', async (event) => {
    if (file.download) return; // the second time, and by our own click
    event.preventDefault();
    Object.assign(file, { href: await fetched(page, `/proofs/${id}.json`), download: file.textContent });
    file.click();
  });
  const shown = element('details', {},
    element('summary', {}, ...label('Proof that needs no hub', '离线证明')),
    element('p', {}, file), code);
  shown.addEventListener('toggle', () => told(async () => {
    code.src ||= await fetched(page, `/proofs/${id}.svg`);
    code.hidden = false;
  }));
  return element('div', {},
    element('p', { className: 'faint', textContent: `block ${anchorBatch.transaction.blockNumber}, transaction ${anchorBatch.transaction.hash.slice(0, 18)}…` }),
    shown);
}

// A file that only its owner gets, as an address of this page.
async function fetched(page, url) {
  const answer = await fetch(url, { headers: { authorization: `Bearer ${sessionStorage.getItem('token')}` } });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return URL.createObjectURL(await answer.blob());
}
