// The clients that front ends use, against a hub's log: node streams.mjs ws|sse URL TOKEN NUMBER
// Prints one JSON object: so many events from the oldest on, and what a wrong document and a wrong token gave.
import { createClient as createSocketClient } from 'graphql-ws';
import { createClient as createSseClient } from 'graphql-sse';
import WebSocket from 'ws';

const [transport, url, token, number] = process.argv.slice(2);
const query = 'subscription { events(after: "") { id cursor kind subjectVersion payload { __typename } } }';

function clientOf(name) {
  if (transport === 'sse') return createSseClient({ url, headers: { Authorization: `Bearer ${name}` }, retryAttempts: 0 });
  return createSocketClient({
    url: url.replace('http', 'ws'),
    webSocketImpl: WebSocket,
    connectionParams: { Authorization: `Bearer ${name}` },
    retryAttempts: 0,
  });
}

async function events(client) {
  const found = [];
  for await (const result of client.iterate({ query })) {
    found.push(result.data.events);
    if (found.length === Number(number)) break;
  }
  return found;
}

// An error that ends an operation is thrown by the one client and is a result of the other.
async function codes(client) {
  try {
    for await (const result of client.iterate({ query: 'subscription { nope }' }))
      return result.errors.map((error) => error.extensions.code);
  } catch (errors) {
    return errors.map((error) => error.extensions.code);
  }
}

async function refused(client) {
  try {
    for await (const _ of client.iterate({ query })) return 'let in';
  } catch (error) {
    return error.code ?? error.response?.status;
  }
}

const client = clientOf(token);
console.log(JSON.stringify({ events: await events(client), wrong: await codes(client), refused: await refused(clientOf('nobody')) }));
client.dispose();
process.exit(0);
