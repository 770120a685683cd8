import { defineConfig } from '@graphql-hive/gateway'
import { signature } from './sign.mjs'
import { secret, subgraphs } from './settings.mjs'

export const gatewayConfig = defineConfig({
  supergraph: process.env.SUPERGRAPH ?? 'supergraph.graphql',
  // Whoever asks the gateway asks the hub: their token is passed on to the hub, and to nobody else.
  propagateHeaders: {
    fromClientToSubgraphs({ subgraphName, context }) {
      if (subgraphName !== 'hub') return {}
      const { authorization, Authorization } = context.headers // of the request, or of a socket's connectionParams
      return { authorization: authorization ?? Authorization }
    },
  },
  plugins: () => (secret ? [{ onFetch: signed }] : []),
})

function signed({ url, options, setOptions }) {
  if (!url.startsWith(subgraphs.hub)) return
  const { authorization } = options.headers
  const queryString = new URL(url).search.slice(1)
  setOptions({ ...options, headers: { ...options.headers, ...signature(secret, { authorization, queryString, body: options.body }) } })
}
