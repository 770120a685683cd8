// The client that front ends use, against a hub: node graphql_ws.mjs URL TOKEN
// Prints one JSON object: what a query, a mutation, a subscription and a wrong document each gave.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const [url, token] = process.argv.slice(2);
const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: { Authorization: `Bearer ${token}` },
  lazy: false,
  retryAttempts: 0,
  onNonLazyError: () => {}, // each operation tells its own
});

async function results(query, variables) {
  const found = [];
  for await (const result of client.iterate({ query, variables })) found.push(result);
  return found;
}

async function refusal(query) {
  try {
    await results(query);
  } catch (errors) {
    return errors.map((error) => error.extensions.code);
  }
}

async function firstOfEndless() {
  for await (const result of client.iterate({ query: 'subscription { forever }' })) return result;
}

console.log(
  JSON.stringify({
    query: await results('query ($text: String!) { viewer echo(text: $text) }', { text: '知识' }),
    mutation: await results('mutation { buy(number: 5) }'),
    subscription: await results('subscription { count(to: 3) }'),
    left: await firstOfEndless(),
    refused: await refusal('{ nope }'),
    together: await Promise.all([results('{ viewer }'), results('subscription { count(to: 1) }')]),
  }),
);
await client.dispose();
