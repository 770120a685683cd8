// The server beside which the fan-out is measured: graphql-ws as its documentation has it, on ws, one document executed
// once an event for all (its own loop frames and sends it to each): node fanout_server.mjs
// Prints {"port"} once it listens. GET /happen publishes one event and answers when that began; other paths tell how many wait.
import { createServer } from 'node:http';
import { buildSchema, execute, parse } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

const schema = buildSchema(`
  type Query { noop: Boolean }
  type Payload { listingId: ID! platformId: ID! courseId: ID! externalId: String! state: String! }
  type Event { id: ID! cursor: String! kind: String! occurredAt: String! subject: ID! subjectVersion: Int! payload: Payload! }
  type Subscription { events: Event! }
`);

// Whoever waits for the next event gets the one result of its execution.
let waiting = [];
async function* results() {
  while (true) yield await new Promise((resolve) => waiting.push(resolve));
}

let document;
const options = {
  onSubscribe: (_ctx, _id, payload) => {
    document ??= parse(payload.query);
    return { schema, document, operationName: undefined, variableValues: payload.variables };
  },
  subscribe: () => results(),
};

// graphql-ws encodes each message for itself; here, as on the other side, a result is encoded once for all.
const stringify = JSON.stringify;
let encoded = { result: undefined, text: '' };
JSON.stringify = (value, ...more) => {
  if (value?.type !== 'next') return stringify(value, ...more);
  if (encoded.result !== value.payload) encoded = { result: value.payload, text: stringify(value.payload) };
  return `{"id":${stringify(value.id)},"type":"next","payload":${encoded.text}}`;
};

let version = 0;
async function happen() {
  version += 1;
  const began = process.hrtime.bigint();
  const events = {
    id: 'evt_' + String(version).padStart(26, '0'),
    cursor: 'A'.repeat(76),
    kind: 'LISTING_CHANGED',
    occurredAt: '2026-01-01T00:00:00Z',
    subject: 'lst_1',
    subjectVersion: version,
    payload: { listingId: 'lst_1', platformId: 'plt_1', courseId: 'crs_1', externalId: 'x'.repeat(20), state: 'ACTIVE' },
  };
  const result = await execute({ schema, document, rootValue: { events } });
  const resolvers = waiting;
  waiting = [];
  for (const resolve of resolvers) resolve(result);
  return began;
}

const http = createServer(async (request, response) => {
  if (request.url === '/happen') response.end(String(await happen()));
  else response.end(String(waiting.length));
});
useServer(options, new WebSocketServer({ server: http, path: '/graphql', perMessageDeflate: false }), 0);
http.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => console.log(JSON.stringify({ port: http.address().port })));
