// Reads a JSON list of {text} or {fields} from the standard input; says of each what the reference makes of it.
import { SiweMessage } from 'siwe'

const cases = JSON.parse(await new Promise((resolve) => {
  let input = ''
  process.stdin.on('data', (part) => { input += part })
  process.stdin.on('end', () => resolve(input))
}))

function told ({ text, fields }) {
  try {
    const message = new SiweMessage(text ?? fields)
    const { domain, address, uri, chainId, nonce, issuedAt } = message
    return { text: message.prepareMessage(), domain, address, uri, chainId, nonce, issuedAt, statement: message.statement ?? null }
  } catch (error) {
    return { refused: String(error?.error?.type ?? error?.type ?? error?.message ?? error).slice(0, 200) }
  }
}

console.log(JSON.stringify(cases.map(told)))
