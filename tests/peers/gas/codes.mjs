// Writes the creation code of each contract of others: OpenZeppelin's compiled here, the rest as its package has it.
import { readFileSync } from "node:fs";
import solc from "solc";

const found = (path) => ({ contents: readFileSync(`node_modules/${path}`, "utf8") });
const published = (path) => JSON.parse(found(path).contents).bytecode.replace("0x", "");

const input = {
  language: "Solidity",
  sources: { "Token.sol": { content: readFileSync("Token.sol", "utf8") } },
  settings: {
    evmVersion: "prague",
    optimizer: { enabled: true },
    outputSelection: { "Token.sol": { "*": ["evm.bytecode.object"] } },
  },
};
const output = JSON.parse(solc.compile(JSON.stringify(input), { import: found }));
const faults = (output.errors ?? []).filter((error) => error.severity === "error");
if (faults.length > 0) throw new Error(faults.map((fault) => fault.formattedMessage).join("\n"));

const { Proxy, Token } = output.contracts["Token.sol"];
const eas = "@ethereum-attestation-service/eas-contracts/artifacts/contracts";
const unlock = "@unlock-protocol/contracts/dist/abis";
process.stdout.write(
  JSON.stringify({
    token: Token.evm.bytecode.object,
    proxy: Proxy.evm.bytecode.object,
    schemas: published(`${eas}/SchemaRegistry.sol/SchemaRegistry.json`),
    eas: published(`${eas}/EAS.sol/EAS.json`),
    unlock: published(`${unlock}/Unlock/UnlockV14.json`),
    lock: published(`${unlock}/PublicLock/PublicLockV14.json`),
  }),
);
