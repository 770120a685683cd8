// Composes subgraphs, given as name=file, by both libraries: prints the errors of each, and what the supergraph shows.
import { composeServices as byApollo } from '@apollo/composition'
import { composeServices as byHive, transformSupergraphToPublicSchema } from '@theguild/federation-composition'
import { readFileSync } from 'node:fs'
import { parse, print } from 'graphql'

const services = process.argv.slice(2).map((given) => {
  const [name, file] = given.split('=')
  return { name, url: `http://${name}.example/graphql`, typeDefs: parse(readFileSync(file, 'utf8')) }
})
const composed = { apollo: byApollo(services), hive: byHive(services) }
const told = {}
for (const [library, { errors, supergraphSdl }] of Object.entries(composed)) {
  const shown = supergraphSdl ? print(transformSupergraphToPublicSchema(parse(supergraphSdl))) : ''
  told[library] = { errors: (errors ?? []).map((error) => error.message), shown }
}
console.log(JSON.stringify(told))
