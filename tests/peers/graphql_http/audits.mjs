// The audits of npm graphql-http, unmodified, against a hub: node audits.mjs URL
// Prints one JSON object: what each audit by its id came to, and why where it did not pass.
import { serverAudits } from 'graphql-http';

const [url] = process.argv.slice(2);
const found = {};
for (const audit of serverAudits({ url, fetchFn: fetch })) {
  const result = await audit.fn();
  found[result.id] = { name: result.name, status: result.status, reason: result.reason ?? null };
  await result.response?.body?.cancel().catch(() => {}); // read already
}
console.log(JSON.stringify(found));
