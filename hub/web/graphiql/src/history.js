// What the browser keeps: tabs, layout, history. A token is kept nowhere, so headers leave the history on their way in,
// and an entry taken out again is asked by whoever is signed in then.
const HISTORY = ["graphiql:queries", "graphiql:favorites"];

export function storageWithoutHeaders(headers) {
  const replaced = (text, value) => JSON.stringify(JSON.parse(text), (key, old) => (key === "headers" ? value : old));
  return {
    getItem(key) {
      const text = localStorage.getItem(key);
      return text !== null && HISTORY.includes(key) ? replaced(text, headers) : text;
    },
    setItem(key, text) {
      localStorage.setItem(key, HISTORY.includes(key) ? replaced(text, null) : text);
    },
    removeItem: (key) => localStorage.removeItem(key),
    clear: () => localStorage.clear(),
    get length() {
      return localStorage.length;
    },
  };
}
