// The whole client: one function that asks, one that follows. Plain `fetch`, no package, no build step.

const AGAIN = new Set(['SLOW_CONSUMER', 'UNAVAILABLE', 'INTERNAL']); // what passes by itself
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15_000;

// What the hub did not do, with the code of the first reason.
export class Refused extends Error {
  constructor(errors) {
    super(errors[0].message);
    this.code = errors[0].extensions?.code;
  }
}

export function connect(url, token) {
  function post(body, accept, signal) {
    const headers = { 'content-type': 'application/json', accept };
    if (token) headers.authorization = `Bearer ${token}`;
    return fetch(url, { method: 'POST', headers, body: JSON.stringify(body), signal });
  }

  // The data of a query or mutation.
  async function ask(query, variables = {}) {
    const answer = await post({ query, variables }, 'application/json');
    const { data, errors } = await answer.json();
    if (!data) throw new Refused(errors);
    return data;
  }

  // The data of each event, until `signal` ends it. After any cut it goes on after the last cursor, so that nothing is
  // missed; an event may then come twice. `cursorOf` finds the cursor in an event's data.
  async function* follow(query, variables, cursorOf, signal) {
    let { after } = variables;
    let waitMs = FIRST_WAIT_MS;
    for (;;) {
      try {
        const answer = await post({ query, variables: { ...variables, after } }, 'text/event-stream', signal);
        if (!answer.headers.get('content-type')?.startsWith('text/event-stream')) {
          throw new Refused((await answer.json()).errors);
        }
        for await (const { data, errors } of eventsOf(answer.body)) {
          if (errors) throw new Refused(errors);
          yield data;
          after = cursorOf(data);
          waitMs = FIRST_WAIT_MS;
        }
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused && !AGAIN.has(error.code)) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, waitMs));
      waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS);
    }
  }

  return { ask, follow };
}

// Server-Sent Events by hand: `EventSource` can send no Authorization header.
async function* eventsOf(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n');
      text = text.slice(end + 2);
      if (lines.includes('event: complete')) return;
      const data = lines.find((line) => line.startsWith('data: ')); // comments have none: they keep the line open
      if (data) yield JSON.parse(data.slice('data: '.length));
    }
  }
}
