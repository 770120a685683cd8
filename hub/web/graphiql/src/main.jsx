// The GraphiQL page: one editor on the hub's own /graphql, queries by POST and subscriptions by WebSocket.
import "graphiql/style.css";
import "./page.css";

import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { createRoot } from "react-dom/client";

import { storageWithoutHeaders } from "./history.js";
import { SignIn, takeToken } from "./sign-in.jsx";
import { tour } from "./tour.js";

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

const token = takeToken();
const headers = token ? JSON.stringify({ Authorization: `Bearer ${token}` }, null, 2) : undefined;

createRoot(document.getElementById("graphiql")).render(
  <GraphiQL
    fetcher={fetcher}
    defaultTabs={tour.map((tab) => ({ ...tab, headers }))}
    initialHeaders={headers}
    defaultHeaders={headers} // other tabs are signed in as well
    defaultEditorToolsVisibility={headers ? "headers" : true}
    shouldPersistHeaders={false} // a token never reaches the browser's storage
    storage={storageWithoutHeaders(headers)}
  >
    <GraphiQL.Logo>
      <SignIn />
    </GraphiQL.Logo>
  </GraphiQL>,
);
