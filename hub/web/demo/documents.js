// Every document that the page sends: the public GraphQL API, nothing else.

const PRICE = 'price { amountMinor currency amount }';
const ERRORS = 'userErrors { code message }';
const RIGHT = `id state isOpen chainStatus course { id title isTransferable } order { id number }
  token { tokenId holder chainId contract claimCall { chainId to data } }`;

export const CATALOGUE = `{
  courses(first: 50, orderBy: { field: TITLE }) { nodes { id title kind
    listings { id isHonoured platform { id name } ${PRICE} } } }
  platforms(first: 20) { nodes { id name } }
  channels { code }
}`;

// The newest rights: each token is worked out from its whole batch, so more at once would cost too much.
export const ME = `{ viewer { user { id wallets { id address } entitlements(first: 8) { nodes { ${RIGHT} } } } } }`;

export const RIGHT_NOW = `query($id: ID!) { entitlement(id: $id) { ${RIGHT} } }`;

export const CHECKOUT = `mutation($input: CheckoutInput!) { checkout(input: $input) {
  order { id number }
  paymentAttempt { id state nextAction { kind url data } lastError { code providerCode retryable } } ${ERRORS} } }`;

export const FOLLOW = `subscription($order: ID!, $after: String) { orderUpdated(orderId: $order, after: $after) {
  event { id cursor kind occurredAt payload { ... on PaymentAttemptChanged { attempt: state } } }
  order { id number status chargeStatus chainStatus total { amount currency } course { title }
    receipt { jws } entitlement { id isOpen } proof { root }
    anchorBatch { count transaction { hash blockNumber } } } } }`;

export const CHALLENGE = `mutation($input: WalletChallengeInput!) { walletChallenge(input: $input) {
  challenge { message } ${ERRORS} } }`;

export const LINK = `mutation($input: WalletLinkInput!) { walletLink(input: $input) { wallet { id address } ${ERRORS} } }`;

export const UNLINK = `mutation($input: WalletUnlinkInput!) { walletUnlink(input: $input) { unlinkedId ${ERRORS} } }`;

export const CLAIM = `mutation($input: EntitlementClaimInput!) { entitlementClaim(input: $input) {
  entitlement { id chainStatus } ${ERRORS} } }`;

export const HAND_ON = `mutation($input: EntitlementTransferInput!) { entitlementTransfer(input: $input) {
  entitlement { id state } ${ERRORS} } }`;
