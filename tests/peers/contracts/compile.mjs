// Writes the creation code of Judge.sol.
import { readFileSync } from "node:fs";
import solc from "solc";

const input = {
  language: "Solidity",
  sources: { "Judge.sol": { content: readFileSync("Judge.sol", "utf8") } },
  settings: {
    evmVersion: "prague",
    optimizer: { enabled: true },
    outputSelection: { "Judge.sol": { Judge: ["evm.bytecode.object"] } },
  },
};
const found = (path) => ({ contents: readFileSync(`node_modules/${path}`, "utf8") });
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: found }));
const faults = (output.errors ?? []).filter((error) => error.severity === "error");
if (faults.length > 0) throw new Error(faults.map((fault) => fault.formattedMessage).join("\n"));
process.stdout.write(output.contracts["Judge.sol"].Judge.evm.bytecode.object);
