// urql as an app uses it, unmodified, against a hub: node urql.mjs URL TOKEN LISTING...
// Prints one JSON object: what each of its ways to ask came to.
import { Client, fetchExchange, subscriptionExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';
import { createClient as createSse } from 'graphql-sse';
import { createClient as createWs } from 'graphql-ws';
import { CHECKOUT, COURSES, DEFERRED, FOLLOW, MINE, followed, headers, purchase, sha256, socket, url } from './shop.mjs';

const sent = [];
function noting(address, options = {}) {
  sent.push(options.body ? (JSON.parse(options.body).query ? 'text' : 'hash') : options.method);
  return fetch(address, options);
}

function urql(exchanges, more = { preferGetMethod: false }) {
  const fetchOptions = { headers: { ...headers } };
  return new Client({ url, fetch: noting, fetchOptions, exchanges, ...more });
}

// What urql's documentation says for each of the two libraries.
const webSocket = createWs(socket);
const sse = createSse({ url, headers, retryAttempts: 0 });
const overWebSocket = subscriptionExchange({
  forwardSubscription({ query, variables }) {
    return { subscribe: (sink) => ({ unsubscribe: webSocket.subscribe({ query: query ?? '', variables }, sink) }) };
  },
});
const overSse = subscriptionExchange({
  forwardSubscription({ query, variables }) {
    return { subscribe: (sink) => ({ unsubscribe: sse.subscribe({ query: query ?? '', variables }, sink) }) };
  },
});
const persisted = persistedExchange({ generateHash: sha256, preferGetForPersistedQueries: false, enableForMutation: true });

const client = urql([persisted, fetchExchange, overWebSocket]);
const bySse = urql([fetchExchange, overSse]);
const byFetch = urql([fetchExchange], { fetchSubscriptions: true }); // queries go by GET: urql's own choice

async function asked(operation) {
  const { data, error } = await operation;
  if (error) throw error;
  return data;
}

async function paged() {
  const pages = [];
  let after = null;
  for (;;) {
    const { courses } = await asked(client.query(COURSES, { first: 2, after }).toPromise());
    pages.push(courses.edges.map(({ node }) => node.title));
    if (!courses.pageInfo.hasNextPage) return pages;
    after = courses.pageInfo.endCursor;
  }
}

async function mutate(document, input) {
  return Object.values(await asked(client.mutation(document, { input }).toPromise()))[0];
}

async function bought() {
  const first = await mutate(CHECKOUT, purchase(0));
  const again = await mutate(CHECKOUT, purchase(0));
  return { status: first.order.status, isSame: first.order.id === again.order.id, replayed: [first.replayed, again.replayed] };
}

function following(by) {
  return (variables, told, failed) => {
    const { unsubscribe } = by
      .subscription(FOLLOW, variables)
      .subscribe(({ data, error }) => (error ? failed(error) : told(data.orderUpdated)));
    return unsubscribe;
  };
}

async function refused() {
  const { error } = await client.query('{ courses(first: 101) { nodes { id } } }', {}).toPromise();
  return error.graphQLErrors.map(({ extensions }) => extensions.code);
}

// What an app has with each part, merged as they come.
function deferred() {
  const shown = [];
  return new Promise((done, failed) => {
    client.query(DEFERRED, {}).subscribe(({ data, error, hasNext }) => {
      if (error) failed(error);
      shown.push(data.courses.nodes.map(({ title, kind }) => [title ?? null, kind ?? null]));
      if (!hasNext) done([shown[0], shown.at(-1)]);
    });
  });
}

const result = { paged: await paged(), sent: sent.splice(0), bought: await bought() };
result.byWebSocket = await followed(1, mutate, following(client));
result.bySse = await followed(2, mutate, following(bySse));
result.byFetch = await followed(3, mutate, following(byFetch));
sent.length = 0;
const mine = await asked(byFetch.query(MINE, {}).toPromise());
result.mine = mine.orders.edges.map(({ node }) => node.status);
result.sentForMine = [...sent];
result.refused = await refused();
result.deferred = await deferred();
console.log(JSON.stringify(result));
await webSocket.dispose();
sse.dispose();
