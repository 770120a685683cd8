// Who asks: the buttons of the demo, and the token of a link. A token is in the headers tab alone, never in storage.
import { useEffect, useState } from "react";

const address = new URL("graphiql/sign-in", document.baseURI);

// `hub demo` prints /graphiql#token=…: a fragment is never sent to a server. It leaves the address bar and the history.
export function takeToken() {
  const token = tokenOf(location);
  if (token !== null) {
    history.replaceState(null, "", location.pathname + location.search);
  }
  return token;
}

function tokenOf(place) {
  return new URLSearchParams(place.hash.slice(1)).get("token");
}

// Another link, opened where the page is open already, changes only the fragment.
addEventListener("hashchange", () => tokenOf(location) !== null && location.reload());

// One button a kind of caller that this hub signs in: in the demo three, elsewhere none.
export function SignIn() {
  const [kinds, setKinds] = useState([]);
  const [refusal, setRefusal] = useState("");
  useEffect(() => {
    ask().then(({ kinds }) => setKinds(kinds ?? []), () => {});
  }, []);

  async function become(kind) {
    const { token, message } = await ask({ kind });
    if (token) location.hash = new URLSearchParams({ token });
    else setRefusal(message);
  }

  return (
    <div className="sign-in">
      {kinds.length > 0 && "Sign in as "}
      {kinds.map((kind) => (
        <button key={kind} type="button" className="graphiql-button" onClick={() => become(kind)}>
          {kind}
        </button>
      ))}
      {refusal && <span role="alert">{refusal}</span>}
    </div>
  );
}

async function ask(body) {
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(address, body && { method: "POST", headers, body: JSON.stringify(body) });
  return answer.json();
}
