// Buys one course and waits until it is the learner's: node dist/buy.js TITLE [TEST_CARD]
import { randomUUID } from 'node:crypto';
import { graphql } from './gql/index.js';
import { Hub } from './hub.js';

const Find = graphql(`
  query Find($search: String!) {
    courses(search: $search, first: 10) {
      nodes {
        title
        listings { id platform { name } price { amountMinor currency amount } }
      }
    }
  }
`);

const Buy = graphql(`
  mutation Buy($input: CheckoutInput!) {
    checkout(input: $input) {
      order { id number }
      paymentAttempt { state nextAction { url } }
      userErrors { message ... on PriceChangedError { current { amount currency } } }
    }
  }
`);

const Follow = graphql(`
  subscription Follow($order: ID!, $after: String) {
    orderUpdated(orderId: $order, after: $after) {
      event { id kind payload { ... on PaymentAttemptChanged { attempt: state } } }
      order { status course { title } entitlement { isOpen } }
    }
  }
`);

async function main(search: string, method: string | undefined) {
  const hub = new Hub(process.env.HUB_URL ?? 'http://127.0.0.1:8000/graphql', process.env.HUB_TOKEN ?? '');
  try {
    const order = await buy(hub, await find(hub, search), method);
    await follow(hub, order);
  } finally {
    await hub.close();
  }
}

// The first listing that can be bought: one whose price the hub knows.
async function find(hub: Hub, search: string) {
  const { courses } = await hub.query(Find, { search });
  for (const { title, listings } of courses.nodes) {
    for (const { id, platform, price } of listings) {
      if (!price) continue;
      console.log(`${title}, sold by ${platform.name} at ${price.amount} ${price.currency}`);
      return { listingId: id, expectedAmount: { amountMinor: price.amountMinor, currency: price.currency } };
    }
  }
  throw new Error(`nothing for sale is called ${search}`);
}

// One key for one wish to buy. A program that may die between here and the answer keeps it, and asks again with it.
async function buy(hub: Hub, what: Awaited<ReturnType<typeof find>>, method: string | undefined) {
  const idempotencyKey = randomUUID();
  const { checkout } = await hub.mutate(Buy, { input: { ...what, channel: 'sandbox', idempotencyKey, method } });
  const [refusal] = checkout.userErrors; // an expected no is data
  if (refusal) {
    const now = 'current' in refusal ? `: it costs ${refusal.current.amount} ${refusal.current.currency} now` : '';
    throw new Error(refusal.message + now);
  }
  if (!checkout.order) throw new Error('neither an order nor a reason');
  console.log(`order ${checkout.order.number}`);
  if (checkout.paymentAttempt?.nextAction?.url) console.log(`pay at ${checkout.paymentAttempt.nextAction.url}`);
  return checkout.order.id;
}

// From the order's first event on, so that nothing is missed that happened before we listened. After a cut the same
// comes again: the event's id tells.
async function follow(hub: Hub, order: string) {
  const seen = new Set<string>();
  await hub.follow(Follow, { order, after: '' }, ({ orderUpdated: { event, order } }) => {
    if (seen.has(event.id)) return false;
    seen.add(event.id);
    const attempt = 'attempt' in event.payload ? event.payload.attempt : '';
    console.log(`${event.kind} ${attempt}`.trim());
    if (attempt === 'DECLINED') throw new Error('declined: the order waits for another card until its deadline');
    if (order.status === 'EXPIRED' || order.status === 'CANCELED') throw new Error(`the order is ${order.status}`);
    if (event.kind !== 'ENTITLEMENT_GRANTED') return false;
    console.log(`${order.course.title} is ${order.entitlement?.isOpen ? 'open' : 'closed'}`);
    return true;
  });
}

const [search, method] = process.argv.slice(2);
if (!search) throw new Error('say what to buy: npm start -- TITLE [TEST_CARD]');
await main(search, method);
