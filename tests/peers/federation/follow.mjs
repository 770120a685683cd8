// Follows a subscription by npm's own clients: node follow.mjs sse|ws URL TOKEN DOCUMENT; prints each result as a line.
import { createClient as sse } from 'graphql-sse'
import { createClient as ws } from 'graphql-ws'
import WebSocket from 'ws'

const [, , transport, url, token, query] = process.argv
const authorization = `Bearer ${token}`
const client =
  transport === 'sse'
    ? sse({ url, headers: { authorization }, retryAttempts: 0 })
    : ws({ url: url.replace('http', 'ws'), webSocketImpl: WebSocket, connectionParams: { authorization }, retryAttempts: 0 })
for await (const result of client.iterate({ query })) console.log(JSON.stringify(result))
