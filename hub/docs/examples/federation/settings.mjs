// Where the subgraphs are. Many processes of one hub are one subgraph: put the address of their load balancer here.
export const subgraphs = {
  hub: process.env.HUB_URL ?? 'http://127.0.0.1:8000/graphql',
  partner: process.env.PARTNER_URL ?? 'http://127.0.0.1:4001/graphql',
}
export const secret = process.env.HUB_GATEWAY_SECRET // the hub's own setting, of the same name
