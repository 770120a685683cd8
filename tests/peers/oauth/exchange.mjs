// A platform's backend, on npm's oauth4webapi unmodified: publishes its keys, is made known, and signs a learner in.
// node exchange.mjs HUB OPERATOR_TOKEN PLATFORM_ID
import { createServer } from "node:http";
import * as oauth from "oauth4webapi";

const [hub, operator, platformId] = process.argv.slice(2);
const insecure = { [oauth.allowInsecureRequests]: true };

const pairs = {
  subject: await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]),
  client: await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]),
};
async function jwks(name) {
  const { kty, crv, x, y } = await crypto.subtle.exportKey("jwk", pairs[name].publicKey);
  return JSON.stringify({ keys: [{ kty, crv, x, y, kid: `${name}-1`, use: "sig" }] });
}
const published = { "/subject.json": await jwks("subject"), "/client.json": await jwks("client") };
let fetched = 0;
const site = createServer((request, response) => {
  fetched += 1;
  response.end(published[request.url] ?? "{}");
});
await new Promise((ready) => site.listen(0, "127.0.0.1", ready));
const issuer = `http://127.0.0.1:${site.address().port}`;

async function graphql(token, query, variables) {
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
  const answer = await fetch(`${hub}/graphql`, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
  return (await answer.json()).data;
}
const made = await graphql(
  operator,
  `mutation ($input: TrustedIssuerUpsertInput!) {
    trustedIssuerUpsert(input: $input) { trustedIssuer { id } userErrors { message } } }`,
  {
    input: {
      platformId, issuer, audience: hub, scopes: ["orders:read", "orders:write"],
      jwksUrl: `${issuer}/subject.json`, clientJwksUrl: `${issuer}/client.json`,
    },
  },
);
const clientId = made.trustedIssuerUpsert.trustedIssuer.id;

const base64url = (data) => Buffer.from(data).toString("base64url");
async function subjectToken(sub) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: issuer, aud: hub, sub, iat: now, exp: now + 120, jti: crypto.randomUUID() };
  const words = [{ alg: "ES256", kid: "subject-1", typ: "JWT" }, claims].map((part) => base64url(JSON.stringify(part)));
  const signature = await crypto.subtle.sign(
    { name: "ECDSA", hash: "SHA-256" }, pairs.subject.privateKey, Buffer.from(words.join(".")),
  );
  return `${words.join(".")}.${base64url(signature)}`;
}

const as = await oauth.processDiscoveryResponse(
  new URL(hub), await oauth.discoveryRequest(new URL(hub), { algorithm: "oauth2", ...insecure }),
);
const client = { client_id: clientId };
const proof = oauth.PrivateKeyJwt({ key: pairs.client.privateKey, kid: "client-1" });
async function exchange(subject_token, scope) {
  const grant = "urn:ietf:params:oauth:grant-type:token-exchange";
  const parameters = { subject_token, subject_token_type: "urn:ietf:params:oauth:token-type:jwt", scope };
  const answer = await oauth.genericTokenEndpointRequest(as, client, proof, grant, parameters, insecure);
  return oauth.processGenericTokenEndpointResponse(as, client, answer);
}

const word = await subjectToken("learner-7");
const told = await exchange(word, "orders:read profile");
const { viewer } = await graphql(told.access_token, "{ viewer { kind scopes user { id state } } }");
const again = await exchange(await subjectToken("learner-7"), "orders:read");
const same = (await graphql(again.access_token, "{ viewer { user { id } } }")).viewer.user.id === viewer.user.id;
const replayed = await exchange(word, "orders:read").catch((no) => [no.constructor.name, no.status, no.error]);

console.log(JSON.stringify({
  told: { ...told, access_token: typeof told.access_token }, viewer: { ...viewer, user: { state: viewer.user.state } },
  same, replayed, fetched,
}));
site.close();
