// Apollo Client as an app uses it, unmodified, against a hub: node apollo.mjs URL TOKEN LISTING...
// Prints one JSON object: what each of its ways to ask came to.
import { ApolloClient, ApolloLink, CombinedGraphQLErrors, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { Defer20220824Handler, GraphQL17Alpha9Handler } from '@apollo/client/incremental';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { GraphQLWsLink } from '@apollo/client/link/subscriptions';
import { relayStylePagination } from '@apollo/client/utilities';
import { createClient } from 'graphql-ws';
import { filter, firstValueFrom } from 'rxjs';
import { CHECKOUT, COURSES, DEFERRED, FOLLOW, MINE, followed, headers, purchase, sha256, socket, url } from './shop.mjs';

const sent = [];
function noting(address, options = {}) {
  if (options.body) sent.push(JSON.parse(options.body).query ? 'text' : 'hash');
  return fetch(address, options);
}
const cache = () => new InMemoryCache({ typePolicies: { Query: { fields: { courses: relayStylePagination() } } } });
const http = new HttpLink({ uri: url, headers, fetch: noting });
const webSocket = createClient(socket);
const client = new ApolloClient({
  cache: cache(),
  // What most apps have: subscriptions by one link, all else by another, hashes for documents.
  link: ApolloLink.split(
    ({ operationType }) => operationType === 'subscription',
    new GraphQLWsLink(webSocket),
    new PersistedQueryLink({ sha256 }).concat(http),
  ),
});
const plain = new ApolloClient({ cache: cache(), link: http }); // subscriptions by multipart

async function paged() {
  const query = client.watchQuery({ query: gql(COURSES), variables: { first: 2 } });
  const shown = []; // how many courses an app's list has, each time that it changes
  let courses;
  const watching = query.subscribe(({ data, loading }) => {
    if (loading) return;
    courses = data.courses;
    shown.push(courses.edges.length);
  });
  do {
    await firstValueFrom(query.pipe(filter(({ loading }) => !loading)));
    if (courses.pageInfo.hasNextPage) await query.fetchMore({ variables: { after: courses.pageInfo.endCursor } });
  } while (courses.pageInfo.hasNextPage);
  watching.unsubscribe();
  return { shown, titles: courses.edges.map(({ node }) => node.title) };
}

async function mutate(mutation, input, context) {
  const { data } = await client.mutate({ mutation: gql(mutation), variables: { input }, context });
  return Object.values(data)[0];
}

async function bought() {
  const first = await mutate(CHECKOUT, purchase(0));
  const again = await mutate(CHECKOUT, purchase(0));
  const other = await mutate(CHECKOUT, { ...purchase(1, 'too-cheap'), expectedAmount: { amountMinor: '1', currency: 'USD' } });
  return {
    status: first.order.status,
    isSame: first.order.id === again.order.id,
    replayed: [first.replayed, again.replayed],
    refused: other.userErrors,
  };
}

// The key in the header, as other APIs have it.
async function boughtByHeader() {
  const { idempotencyKey, ...input } = purchase(3);
  const { order, replayed } = await mutate(CHECKOUT, input, { headers: { 'idempotency-key': idempotencyKey } });
  return { status: order.status, replayed };
}

function following(by) {
  return (variables, told, failed) => {
    const following = by.subscribe({ query: gql(FOLLOW), variables }).subscribe({
      next: ({ data, error }) => (error ? failed(error) : told(data.orderUpdated)),
      error: failed,
    });
    return () => following.unsubscribe();
  };
}

async function refused() {
  try {
    await client.query({ query: gql('{ courses(first: 101) { nodes { id } } }') });
  } catch (error) {
    return CombinedGraphQLErrors.is(error) ? error.errors.map(({ extensions }) => extensions.code) : String(error);
  }
}

// What an app has at each time, and the media types that came: parts, merged as they come.
async function deferred(incrementalHandler) {
  const types = [];
  const noted = async (...asked) => {
    const answer = await fetch(...asked);
    types.push(answer.headers.get('content-type').split(';')[0]);
    return answer;
  };
  const parted = new ApolloClient({ cache: cache(), link: new HttpLink({ uri: url, headers, fetch: noted }), incrementalHandler });
  const shown = [];
  const watching = parted.watchQuery({ query: gql(DEFERRED) }).subscribe(({ data }) => {
    if (data?.courses) shown.push(data.courses.nodes.map(({ title, kind }) => [title ?? null, kind ?? null]));
  });
  await until(() => shown.at(-1)?.every(([, kind]) => kind !== null));
  watching.unsubscribe();
  parted.stop();
  return { types, shown: [shown[0], shown.at(-1)] };
}

async function until(isSo) {
  for (let tries = 0; !isSo(); tries += 1) {
    if (tries > 500) throw new Error('it did not come');
    await new Promise((done) => setTimeout(done, 20));
  }
}

const result = { paged: await paged(), sent: sent.splice(0), bought: await bought() };
result.byWebSocket = await followed(1, mutate, following(client));
result.byMultipart = await followed(2, mutate, following(plain));
result.byHeader = await boughtByHeader();
const mine = await client.query({ query: gql(MINE) });
result.mine = mine.data.orders.edges.map(({ node }) => node.status);
result.refused = await refused();
result.deferred = [await deferred(new Defer20220824Handler()), await deferred(new GraphQL17Alpha9Handler())];
console.log(JSON.stringify(result));
client.stop();
plain.stop();
await webSocket.dispose();
