// Apollo Client's and urql's persisted queries, unmodified, against a hub: node persisted.mjs URL SELECTION
// Each client sends a query of its own twice.
// Prints one JSON object: for each client what it got, and what it sent on the way (method, whether with the text).
import { createHash } from 'node:crypto';
import { ApolloClient, HttpLink, InMemoryCache, gql } from '@apollo/client';
import { PersistedQueryLink } from '@apollo/client/link/persisted-queries';
import { Client, fetchExchange } from '@urql/core';
import { persistedExchange } from '@urql/exchange-persisted';

const [url, selection] = process.argv.slice(2);
const sha256 = (text) => createHash('sha256').update(text).digest('hex');
const codes = (errors) => errors.map((error) => error.extensions.code);

function noting(sent) {
  return (address, options = {}) => {
    const at = new URL(address);
    const method = options.method ?? 'GET';
    const asked = method === 'GET' ? Object.fromEntries(at.searchParams) : JSON.parse(options.body);
    sent.push(`${method} ${asked.query ? 'text' : 'hash'}`);
    return fetch(address, options);
  };
}

async function apollo(name, useGETForHashedQueries) {
  const sent = [];
  const client = new ApolloClient({
    cache: new InMemoryCache(),
    link: new PersistedQueryLink({ sha256, useGETForHashedQueries }).concat(
      new HttpLink({ uri: url, fetch: noting(sent) }),
    ),
  });
  const got = [];
  for (let turn = 0; turn < 2; turn++) {
    const { data, error } = await client.query({
      query: gql(`query ${name} ${selection}`),
      fetchPolicy: 'network-only',
      errorPolicy: 'all',
    });
    got.push(error ? codes(error.errors) : data);
  }
  client.stop();
  return { got, sent };
}

async function urql(name, preferGetForPersistedQueries, enforcePersistedQueries) {
  const sent = [];
  const client = new Client({
    url,
    fetch: noting(sent),
    preferGetMethod: false,
    exchanges: [
      persistedExchange({
        preferGetForPersistedQueries,
        enforcePersistedQueries,
        enableForMutation: true,
        generateHash: async (query) => sha256(query),
      }),
      fetchExchange,
    ],
  });
  const got = [];
  for (let turn = 0; turn < 2; turn++) {
    const { data, error } = await client.query(`query ${name} ${selection}`, {}, { requestPolicy: 'network-only' });
    got.push(error ? codes(error.graphQLErrors) : data);
  }
  return { got, sent };
}

console.log(
  JSON.stringify({
    apolloByGet: await apollo('ApolloByGet', true),
    apolloByPost: await apollo('ApolloByPost', false),
    urqlByGet: await urql('UrqlByGet', true, false),
    urqlByPost: await urql('UrqlByPost', false, false),
    urqlWithoutTexts: await urql('UrqlByPost', false, true),
  }),
);
