// How the hub knows its gateway (HUB_ENTITIES=signed): the time, then a line each of Authorization and query string,
// then the body, under HMAC-SHA256.
import { createHmac } from 'node:crypto'

export function signature(secret, { authorization = '', queryString = '', body = '' }, atS = Math.floor(Date.now() / 1000)) {
  const hmac = createHmac('sha256', secret)
  hmac.update(`${atS}\n${authorization}\n${queryString}\n`).update(body)
  return { 'hub-gateway-signature': `t=${atS},v1=${hmac.digest('hex')}` }
}
