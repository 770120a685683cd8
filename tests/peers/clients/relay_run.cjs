// What relay-compiler made of relay_app.js, run by Relay's own store: node relay_run.cjs URL TOKEN LISTING
// Only ids of documents are sent. Prints one JSON object: what the app would show.
const { Environment, Network, Observable, RecordSource, Store, commitMutation, fetchQuery } = require('relay-runtime');
const { createOperationDescriptor, getRequest, getSingularSelector, requestSubscription } = require('relay-runtime');
const { createClient } = require('graphql-ws');
const WebSocket = require('ws');

const [url, token, listing] = process.argv.slice(2);
const { id: listingId, price } = JSON.parse(listing);
const generated = (name) => require(`./__generated__/${name}.graphql`);
const webSocket = createClient({
  url: url.replace('http', 'ws'),
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: `Bearer ${token}` },
  retryAttempts: 0,
});

async function fetched(params, variables) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
    body: JSON.stringify({ documentId: params.id, variables }),
  });
  return answer.json();
}

// graphql-ws demands a text; an empty one is none.
function subscribed(params, variables) {
  return Observable.create((sink) => webSocket.subscribe({ query: '', documentId: params.id, variables }, sink));
}

const environment = new Environment({
  network: Network.create(fetched, subscribed),
  store: new Store(new RecordSource()),
});

function shown(fragment, operation) {
  const root = environment.lookup(operation.fragment).data;
  return environment.lookup(getSingularSelector(generated(fragment), root)).data;
}

// A list as `usePaginationFragment` keeps it: pages are asked for by the refetch query, and joined in the store.
async function paged(query, page, fragment, field) {
  const operation = createOperationDescriptor(getRequest(generated(query)), { count: 2 });
  environment.retain(operation);
  await fetchQuery(environment, generated(query), { count: 2 }).toPromise();
  const sizes = [];
  for (;;) {
    const { edges, pageInfo } = shown(fragment, operation)[field];
    sizes.push(edges.length);
    if (!pageInfo.hasNextPage) return { sizes, nodes: edges.map(({ node }) => node) };
    await fetchQuery(environment, generated(page), { count: 2, cursor: pageInfo.endCursor }).toPromise();
  }
}

async function refetched(id) {
  const data = await fetchQuery(environment, generated('relayAppCourseAgain'), { id }).toPromise();
  return environment.lookup(getSingularSelector(generated('relayApp_course'), data.node)).data.listings.length;
}

function bought() {
  const input = { listingId, channel: 'sandbox', method: 'pm_card_visa', expectedAmount: price, idempotencyKey: 'relay' };
  return new Promise((onCompleted, onError) => {
    commitMutation(environment, {
      mutation: generated('relayAppCheckoutMutation'),
      variables: { input },
      onCompleted,
      onError,
    });
  });
}

function followed(order) {
  return new Promise((resolve, onError) => {
    const kinds = [];
    const following = requestSubscription(environment, {
      subscription: generated('relayAppFollowSubscription'),
      variables: { order, after: '' },
      onNext({ orderUpdated: { event } }) {
        kinds.push(event.payload.externalId ?? event.kind);
        if (event.kind !== 'ENTITLEMENT_GRANTED') return;
        following.dispose();
        resolve(kinds);
      },
      onError,
    });
  });
}

async function run() {
  const courses = await paged('relayAppCoursesQuery', 'relayAppCoursesPage', 'relayApp_courses', 'courses');
  const { checkout } = await bought();
  const kinds = await followed(checkout.order.id);
  const orders = await paged('relayAppOrdersQuery', 'relayAppOrdersPage', 'relayApp_orders', 'orders');
  console.log(
    JSON.stringify({
      courses: { sizes: courses.sizes, titles: courses.nodes.map(({ title }) => title) },
      listings: await refetched(courses.nodes[0].id),
      userErrors: checkout.userErrors,
      kinds,
      orders: orders.nodes.map(({ status, total }) => `${status} ${total.amountMinor}`),
      isNormalized: environment.getStore().getSource().get(checkout.order.id).status === 'PAID',
    }),
  );
  await webSocket.dispose();
}

run();
