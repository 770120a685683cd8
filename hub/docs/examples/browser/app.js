// A shop in one page: courses, a purchase, its order followed live, the right to the course.
import { connect } from './hub.js';

const URL_OF_HUB = document.querySelector('meta[name=hub]').content;
const CHANNEL = 'sandbox';
const PAGE = 10; // courses at once; the hub gives at most 100

const VIEWER = 'query { viewer { kind scopes } }';
const COURSES = `query($search: String, $first: Int!, $after: String) {
  courses(search: $search, first: $first, after: $after, orderBy: { field: TITLE }) {
    nodes { id title listings { id platform { name } price { amountMinor currency amount } } }
    pageInfo { hasNextPage endCursor }
  }
}`;
const CHECKOUT = `mutation($input: CheckoutInput!) {
  checkout(input: $input) {
    order { id }
    paymentAttempt { nextAction { url } }
    userErrors { message code }
  }
}`;
const FOLLOW = `subscription($order: ID!, $after: String) {
  orderUpdated(orderId: $order, after: $after) {
    event { id cursor kind occurredAt payload { ... on PaymentAttemptChanged { attempt: state } } }
    order { number status chainStatus course { title } entitlement { id isOpen } }
  }
}`;

const $ = (id) => document.getElementById(id);
let hub = connect(URL_OF_HUB, token());
let following = new AbortController();
let after = null;

$('sign-in').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem('token', $('token').value.trim()); // forgotten with the tab
  hub = connect(URL_OF_HUB, token());
  start();
});
$('find').addEventListener('submit', (event) => {
  event.preventDefault();
  list();
});
$('more').addEventListener('click', () => listMore());
start();

// ---- who ------------------------------------------------------------------------------------------------------------

// The token of this tab, which may have come behind `#token=`; it stays in neither the address nor the history.
function token() {
  const given = new URLSearchParams(location.hash.slice(1)).get('token');
  if (given) {
    sessionStorage.setItem('token', given);
    history.replaceState(null, '', location.pathname + location.search);
  }
  return sessionStorage.getItem('token') ?? '';
}

function start() {
  following.abort();
  return told(async () => {
    const { viewer } = await hub.ask(VIEWER);
    $('viewer').textContent = viewer.kind === 'ANONYMOUS' ? 'nobody yet' : viewer.kind.toLowerCase();
    await list();
    const order = new URLSearchParams(location.search).get('order');
    if (order && viewer.kind !== 'ANONYMOUS') follow(order);
  });
}

// ---- courses --------------------------------------------------------------------------------------------------------

function list() {
  $('courses').replaceChildren();
  after = null;
  return listMore();
}

// The next page. A cursor names a row, so nothing is skipped or shown twice while courses are added.
function listMore() {
  return told(async () => {
    const { courses } = await hub.ask(COURSES, { search: $('search').value || null, first: PAGE, after });
    $('courses').append(...courses.nodes.flatMap((course) => course.listings.map((listing) => shown(course, listing))));
    after = courses.pageInfo.endCursor;
    $('more').hidden = !courses.pageInfo.hasNextPage;
  });
}

function shown(course, listing) {
  const item = $('course').content.cloneNode(true);
  const buy = item.querySelector('.buy');
  item.querySelector('.title').textContent = course.title;
  item.querySelector('.platform').textContent = listing.platform.name;
  item.querySelector('.price').textContent = listing.price ? `${listing.price.amount} ${listing.price.currency}` : 'price unknown';
  buy.hidden = !listing.price;
  buy.addEventListener('click', () => purchase(listing, buy));
  return item;
}

// ---- a purchase -----------------------------------------------------------------------------------------------------

async function purchase(listing, button) {
  button.disabled = true;
  await told(async () => {
    const { amountMinor, currency } = listing.price; // what the buyer saw: the hub refuses any other price
    const input = { listingId: listing.id, channel: CHANNEL, expectedAmount: { amountMinor, currency } };
    const { checkout } = await hub.ask(CHECKOUT, { input: { ...input, idempotencyKey: keyOf(listing) } });
    forgetKeyOf(listing); // answered: the next purchase is another one
    if (checkout.userErrors.length) return say(checkout.userErrors[0].message);
    $('pay').href = checkout.paymentAttempt?.nextAction?.url ?? '';
    $('pay').hidden = !$('pay').getAttribute('href');
    history.replaceState(null, '', `?order=${checkout.order.id}`); // a reload goes on with it
    follow(checkout.order.id);
  });
  button.disabled = false;
}

// One key for one wish to buy: pressed again after a cut, it is the same purchase and not a second one.
function keyOf(listing) {
  const name = `key ${listing.id}`;
  if (!sessionStorage.getItem(name)) sessionStorage.setItem(name, crypto.randomUUID());
  return sessionStorage.getItem(name);
}

function forgetKeyOf(listing) {
  sessionStorage.removeItem(`key ${listing.id}`);
}

// ---- its order ------------------------------------------------------------------------------------------------------

function follow(id) {
  following.abort();
  following = new AbortController();
  $('order').hidden = false;
  $('events').replaceChildren();
  $('right').hidden = true;
  const { signal } = following;
  return told(async () => {
    const seen = new Set(); // after a cut an event may come twice
    const updates = hub.follow(FOLLOW, { order: id, after: '' }, (data) => data.orderUpdated.event.cursor, signal);
    for await (const { orderUpdated } of updates) {
      if (seen.has(orderUpdated.event.id)) continue;
      seen.add(orderUpdated.event.id);
      show(orderUpdated);
    }
  });
}

function show({ event, order }) {
  $('number').textContent = order.number;
  if (order.status !== 'AWAITING_PAYMENT') $('pay').hidden = true;
  const item = document.createElement('li');
  const time = document.createElement('time');
  time.dateTime = event.occurredAt;
  time.textContent = new Date(event.occurredAt).toLocaleTimeString();
  item.append(time, ` ${words(event.kind)}`, event.payload.attempt ? `: ${words(event.payload.attempt)}` : '');
  $('events').append(item);
  if (!order.entitlement) return;
  $('right').hidden = false;
  $('right').textContent =
    `${order.entitlement.isOpen ? 'Yours: ' : 'Closed: '}${order.course.title}. ` +
    (['CONFIRMED', 'FINALIZED'].includes(order.chainStatus) ? 'Recorded on chain.' : 'Not recorded on chain yet; it opens all the same.');
}

const words = (name) => name.toLowerCase().replaceAll('_', ' ');

// ---- what went wrong ------------------------------------------------------------------------------------------------

async function told(work) {
  $('told').hidden = true;
  try {
    await work();
  } catch (error) {
    say(error.code === 'UNAUTHENTICATED' ? 'Sign in first: give a token of a learner.' : error.message);
  }
}

function say(message) {
  $('told').textContent = message;
  $('told').hidden = false;
}
