// What every client here asks of the hub, and what of its answers the tests look at.
import { createHash } from 'node:crypto';
import WebSocket from 'ws';

globalThis.WebSocket ??= WebSocket; // every browser has it, and Node from 22 on
export const [url, token, ...listings] = process.argv.slice(2); // listings: as JSON, one for each purchase
export const headers = { authorization: `Bearer ${token}` };
export const socket = {
  url: url.replace('http', 'ws'),
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: `Bearer ${token}` },
  retryAttempts: 0,
};
export const sha256 = async (text) => createHash('sha256').update(text).digest('hex');

export const COURSES = `query Courses($first: Int!, $after: String) {
  courses(first: $first, after: $after, orderBy: { field: TITLE }) {
    edges { cursor node { id title listings { id price { amount currency } } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
  }
}`;
export const CHECKOUT = `mutation Checkout($input: CheckoutInput!) {
  checkout(input: $input) {
    replayed
    order { id status total { amountMinor currency } }
    userErrors { code message ... on PriceChangedError { current { amountMinor } } }
  }
}`;
export const ORDER = `mutation Order($input: OrderCreateInput!) {
  orderCreate(input: $input) { order { id } userErrors { code } }
}`;
export const PAY = `mutation Pay($input: PaymentCreateInput!) {
  paymentCreate(input: $input) { paymentAttempt { state } userErrors { code } }
}`;
export const FOLLOW = `subscription Follow($order: ID!, $after: String) {
  orderUpdated(orderId: $order, after: $after) { event { id cursor kind } order { id status } }
}`;
export const MINE = `query Mine { orders(first: 10) { edges { cursor node { id status } } } }`;

export function purchase(number, key = `purchase-${number}`) {
  const { id, price } = JSON.parse(listings[number]);
  return { listingId: id, channel: 'sandbox', method: 'pm_card_visa', expectedAmount: price, idempotencyKey: key };
}

// One order followed from its making, which is past, to its right, which is live: it is paid for when the past was told.
// `mutate(document, input)` gives a payload, `follow(order, told, failed)` calls `told` for each update and gives a
// function that ends it. Gives the kinds that were told.
export async function followed(number, mutate, follow) {
  const { channel, method, listingId, expectedAmount, idempotencyKey } = purchase(number);
  const { order } = await mutate(ORDER, { listingId, idempotencyKey });
  const pay = { orderId: order.id, channel, method, expectedAmount, idempotencyKey };
  const kinds = [];
  let end;
  await new Promise((resolve, reject) => {
    async function told({ event, order }) {
      if (event.kind === 'PAYMENT_ATTEMPT_CHANGED') return;
      kinds.push(`${event.kind} ${order.status}`);
      if (event.kind === 'ORDER_CREATED') await mutate(PAY, pay);
      if (event.kind === 'ENTITLEMENT_GRANTED') resolve();
    }
    end = follow({ order: order.id, after: '' }, (update) => told(update).catch(reject), reject);
  });
  end();
  return kinds;
}

export const DEFERRED = `query Deferred {
  courses(first: 2, orderBy: { field: TITLE }) { nodes { id title ... @defer(label: "kinds") { kind } } }
}`;
