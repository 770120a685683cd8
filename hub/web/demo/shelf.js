// The rights of the person who is signed in: claimed as tokens by the wallet, handed on to somebody else.
import { CLAIM, HAND_ON, RIGHT_NOW } from './documents.js';
import { $, button, element, label, say } from './elements.js';
import { linkedWallet } from './order.js';

const LOOK_AGAIN_MS = 500;
const RECORDED_WITHIN_MS = 60_000;

export async function showRights(page) {
  const rights = page.me?.entitlements.nodes ?? [];
  const shown = await Promise.all(rights.map((right) => item(page, right)));
  const none = element('li', { className: 'faint', textContent: 'Nothing yet. 暂无' });
  $('rights').replaceChildren(...(shown.length ? shown : [none]));
}

async function item(page, right) {
  const isHeld = page.wallet && right.token && (await page.wallet.tokens(right.token.contract, right.token.tokenId)) > 0n;
  const state = right.isOpen ? element('span', { className: 'badge good' }, ...label('open', '可用'))
    : element('span', { className: 'badge', textContent: right.state.toLowerCase() });
  return element('li', { id: right.id },
    element('div', { className: 'row' }, element('h3', { textContent: right.course.title }), state,
      isHeld && element('span', { className: 'badge good token' }, ...label('token in your wallet: 1', '已在钱包'))),
    right.isOpen && element('div', { className: 'row' },
      page.wallet && !isHeld && button(label('Claim as token', '领取通证'), () => claim(page, right), { className: 'main claim' }),
      right.course.isTransferable && button(label('Hand on', '转让'), () => handOn(page, right), { className: 'give' }),
      element('span', { className: 'faint', textContent: right.chainStatus.toLowerCase() })));
}

// The right gets a leaf for this wallet, unless it was bought for it; once that is on chain, the wallet sends what gives it the token.
async function claim(page, right) {
  const linked = linkedWallet(page);
  if (!linked) throw new Error('Sign and link the wallet first. 请先签名绑定钱包');
  await page.mutate(CLAIM, { entitlementId: right.id, walletId: linked.id, idempotencyKey: crypto.randomUUID() });
  say('The right is being recorded for your wallet. 正在上链');
  const { claimCall } = await recorded(page, right.id);
  say('Look at your wallet: one transaction brings the token. 请在钱包中确认');
  await page.wallet.send(claimCall);
  say('');
  await page.refresh();
}

async function recorded(page, id) {
  for (const end = Date.now() + RECORDED_WITHIN_MS; Date.now() < end; ) {
    const { token } = (await page.hub.ask(RIGHT_NOW, { id })).entitlement;
    if (token?.claimCall && token.holder.toLowerCase() === page.wallet.address) return token;
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
  throw new Error('Its record is not on chain yet: try again later. 仍未上链');
}

async function handOn(page, right) {
  const dialog = $('hand-on');
  const { platform, member, wallet, new: mayBeNew } = dialog.querySelector('form').elements;
  platform.replaceChildren(...page.catalogue.platforms.nodes.map(({ id, name }) =>
    element('option', { value: id, textContent: name })));
  dialog.returnValue = '';
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  if (dialog.returnValue !== 'give') return;
  const to = wallet.value ? { wallet: wallet.value.trim() }
    : { member: { platformId: platform.value, externalId: member.value.trim(), mayBeNew: mayBeNew.checked } };
  await page.mutate(HAND_ON, { entitlementId: right.id, to, idempotencyKey: crypto.randomUUID() });
  await page.refresh();
  say('Handed on. 已转让');
}
