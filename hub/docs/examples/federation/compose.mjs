// Asks each subgraph for its SDL and writes the supergraph of them: again after each release of one of them.
import { composeServices } from '@theguild/federation-composition'
import { parse } from 'graphql'
import { writeFileSync } from 'node:fs'
import { signature } from './sign.mjs'
import { secret, subgraphs } from './settings.mjs'

const body = JSON.stringify({ query: '{ _service { sdl } }' })

async function sdlOf(name, url) {
  const signed = secret && name === 'hub' ? signature(secret, { body }) : {}
  const headers = { 'content-type': 'application/json', accept: 'application/json', ...signed }
  const answer = await (await fetch(url, { method: 'POST', headers, body })).json()
  if (!answer.data?._service) throw new Error(`${name} gives no SDL: ${JSON.stringify(answer.errors)}`)
  return answer.data._service.sdl
}

const services = []
for (const [name, url] of Object.entries(subgraphs)) services.push({ name, url, typeDefs: parse(await sdlOf(name, url)) })
const { errors, supergraphSdl } = composeServices(services)
if (errors?.length) throw new Error(errors.map((error) => error.message).join('\n'))
writeFileSync(process.env.SUPERGRAPH ?? 'supergraph.graphql', supergraphSdl)
