// The GraphiQL page: one editor on the hub's own /graphql, queries by POST and subscriptions by WebSocket.
import "graphiql/style.css";
import "./page.css";

import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import tour from "./tour.graphql";

// Monaco asks for a worker by its label. They are classic scripts of our own origin: the policy allows no blob.
const WORKERS = { graphql: GRAPHQL_WORKER, json: JSON_WORKER };
globalThis.MonacoEnvironment = {
  getWorker: (_id, label) => new Worker(new URL(WORKERS[label] ?? EDITOR_WORKER, import.meta.url), { name: label }),
};

// Relative to the page, so that the hub may stand below a path of a reverse proxy.
const endpoint = new URL("graphql", document.baseURI);
const socket = new URL(endpoint);
socket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

// The headers tab is sent with each request, and as `connectionParams` of each subscription's socket.
const fetcher = createGraphiQLFetcher({
  url: endpoint.href,
  subscriptionUrl: socket.href,
  enableIncrementalDelivery: false, // the hub answers in one part
});

// `hub demo` prints /graphiql#token=…: a fragment is never sent to a server. It leaves the address bar and the history.
function takeToken() {
  const token = tokenOf(location);
  if (token !== null) {
    history.replaceState(null, "", location.pathname + location.search);
  }
  return token;
}

function tokenOf(address) {
  return new URLSearchParams(address.hash.slice(1)).get("token");
}

const token = takeToken();
const headers = token ? JSON.stringify({ Authorization: `Bearer ${token}` }, null, 2) : undefined;

// Another link, opened where the page is open already, changes only the fragment.
addEventListener("hashchange", () => tokenOf(location) !== null && location.reload());

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    defaultQuery={tour}
    initialHeaders={headers}
    defaultHeaders={headers} // other tabs are signed in as well
    defaultEditorToolsVisibility={headers ? "headers" : true}
    shouldPersistHeaders={false} // a token never reaches the browser's storage
    plugins={[]} // history would write the headers into the browser's storage
  />,
);
