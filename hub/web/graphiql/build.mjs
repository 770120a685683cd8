// Builds ./bundle from the installed packages: esbuild, one gzip member a file, the licence of every bundled package.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

import * as esbuild from "esbuild";

const OUT = "bundle";
const ASSETS = join(OUT, "assets");
const SOURCES = ["build.mjs", "index.html", "notices", "package-lock.json", "package.json", "src"];
const WORKERS = {
  EDITOR_WORKER: "monaco-editor/esm/vs/editor/editor.worker.js",
  GRAPHQL_WORKER: "monaco-graphql/esm/graphql.worker.js",
  JSON_WORKER: "monaco-editor/esm/vs/language/json/json.worker.js",
};

// Packages that ship no licence text: the neighbour's applies, being of the same repository or the same author.
const SAME_LICENCE_AS = {
  "@graphiql/plugin-doc-explorer": "graphiql",
  "@graphiql/plugin-history": "graphiql",
  "react-compiler-runtime": "react",
  "react-remove-scroll-bar": "react-style-singleton",
};
// Fonts inside GraphiQL's style sheet; their texts stand in ./notices, as no package of the lock carries them.
const FONTS = {
  "Codicon, a font of icons by Microsoft (CC-BY-4.0)": "notices/codicon.txt",
  "Fira Code, a font (OFL-1.1)": "notices/fira-code.txt",
  "Roboto, a font (OFL-1.1)": "notices/roboto.txt",
};
const ALLOWED = new Set(["0BSD", "Apache-2.0", "BSD-2-Clause", "MIT"]);

// GraphiQL asks for Prettier's parsers by old names, whose files hide the parsers from a bundler.
const PRETTIER = {
  "prettier/parser-babel": "prettier/plugins/babel",
  "prettier/parser-graphql": "prettier/plugins/graphql",
};

const OPTIONS = {
  bundle: true,
  minify: true,
  write: false,
  metafile: true,
  sourcemap: false,
  charset: "utf8",
  target: "es2022",
  jsx: "automatic",
  legalComments: "none", // the texts are in LICENSES.txt
  define: { "process.env.NODE_ENV": '"production"' },
  outdir: ASSETS,
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
};

// GraphiQL's style sheet holds Monaco's already; a second copy would come in through Monaco's own imports.
const monacoStylesOnce = {
  name: "monaco-styles-once",
  setup(build) {
    build.onLoad({ filter: /monaco-editor[\\/]esm[\\/].*\.css$/ }, () => ({ contents: "", loader: "css" }));
  },
};

async function main() {
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(ASSETS, { recursive: true });

  const builds = [];
  const workerNames = {};
  for (const [constant, entry] of Object.entries(WORKERS)) {
    const worker = await esbuild.build({ ...OPTIONS, entryPoints: [join("node_modules", entry)], format: "iife" });
    workerNames[constant] = JSON.stringify(basename(worker.outputFiles[0].path));
    builds.push(worker);
  }
  const page = await esbuild.build({
    ...OPTIONS,
    entryPoints: ["src/main.jsx"],
    format: "esm",
    splitting: true,
    loader: { ".graphql": "text", ".json": "text" },
    define: { ...OPTIONS.define, ...workerNames },
    alias: PRETTIER,
    plugins: [monacoStylesOnce],
  });
  builds.push(page);

  const [script, style] = entryOf(page.metafile);
  for (const file of builds.flatMap((build) => build.outputFiles)) {
    if (file.path.endsWith(".css") && basename(file.path) !== style) continue; // Monaco's, emptied above
    writeFileSync(join(ASSETS, `${basename(file.path)}.gz`), gzipSync(file.contents, { level: 9 }));
  }
  const html = readFileSync("index.html", "utf8").replace("{{js}}", script).replace("{{css}}", style);
  writeFileSync(join(OUT, "index.html"), html);
  writeFileSync(join(OUT, "LICENSES.txt"), licences(builds));
  writeFileSync(join(OUT, "SOURCES.sha256"), sourceHashes());
}

function entryOf(metafile) {
  const [path, output] = Object.entries(metafile.outputs).find(([, output]) => output.entryPoint === "src/main.jsx");
  return [basename(path), basename(output.cssBundle)];
}

function licences(builds) {
  const folders = new Set();
  for (const input of builds.flatMap((build) => Object.keys(build.metafile.inputs))) {
    const match = input.match(/^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/); // the innermost package
    if (match) folders.add(match[0]);
  }
  const texts = new Map();
  for (const folder of folders) {
    const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    if (!ALLOWED.has(license)) throw new Error(`${name} ${version}: licence ${license} has not been looked at`);
    texts.set(`${name} ${version} (${license})`, licenceText(name, folder));
  }
  for (const [font, path] of Object.entries(FONTS)) {
    texts.set(font, readFileSync(path, "utf8"));
  }
  return written(texts);
}

// A text that several packages share stands once, under all of their names.
function written(texts) {
  const titlesOf = new Map();
  for (const title of [...texts.keys()].sort()) {
    const text = texts.get(title).replaceAll("\r\n", "\n").trim();
    titlesOf.set(text, [...(titlesOf.get(text) ?? []), title]);
  }
  const rule = `${"=".repeat(100)}\n`;
  const parts = [...titlesOf].map(([text, titles]) => `${rule}${titles.join("\n")}\n${rule}\n${text}\n\n`);
  return `The third-party code of this bundle and its licences.\n\n${parts.join("")}`;
}

function licenceText(name, folder) {
  const own = readdirSync(folder).filter((file) => /^(licen[cs]e|notice|third-?party)/i.test(file)).sort();
  if (own.length > 0) return own.map((file) => readFileSync(join(folder, file), "utf8")).join("\n\n");
  const neighbour = SAME_LICENCE_AS[name];
  if (!neighbour) throw new Error(`${name} ships no licence text`);
  return `(No text in the package; the one of ${neighbour} applies.)\n\n${licenceText(neighbour, join("node_modules", neighbour))}`;
}

// In the format of `sha256sum --check`.
function sourceHashes() {
  const below = (path) => (statSync(path).isFile() ? [path] : readdirSync(path).flatMap((file) => below(`${path}/${file}`)));
  const paths = SOURCES.flatMap(below);
  const line = (path) => `${createHash("sha256").update(readFileSync(path)).digest("hex")}  ${path}\n`;
  return paths.sort().map(line).join("");
}

await main();
