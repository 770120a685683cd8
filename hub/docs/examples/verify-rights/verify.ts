// Whether a right stands, without asking the hub that sold it.
//   node dist/verify.js bundle.json trusted.json            by a node: the contract answers
//   node dist/verify.js bundle.json trusted.json --offline  by the bundle alone, under a root that you know
import { readFileSync } from "node:fs";
import { concat, createPublicClient, encodeAbiParameters, http, isAddressEqual, keccak256, parseAbi, parseAbiParameters, type Hex } from "viem";

type Bundle = { version: number; chainId: number; hub: Hex; root: Hex; index: number; orderKey: Hex; to: Hex; tokenId: string; expiry: string; commitment: Hex; proof: Hex[] };
type Trusted = { chainId: number; hub: Hex; tokenId: string; node: string; roots: Hex[] };

const HUB = parseAbi([
  "function verify(bytes32 root, uint32 index, bytes32 orderKey, address to, uint256 tokenId, uint64 expiry, bytes32 commitment, bytes32[] proof) view returns (bool)",
  "function hasAccess(address to, uint256 tokenId) view returns (bool)",
]);
const LEAF = parseAbiParameters("uint256, bytes32, address, uint256, uint64, bytes32");

function refuse(why: string): never {
  console.error(`REFUSED: ${why}`);
  process.exit(1);
}

/** The root that the bundle's leaf and siblings lead to: OpenZeppelin's StandardMerkleTree. */
function rootOf(b: Bundle): Hex {
  const values = [BigInt(b.index), b.orderKey, b.to, BigInt(b.tokenId), BigInt(b.expiry), b.commitment] as const;
  const leaf = keccak256(keccak256(encodeAbiParameters(LEAF, values)));
  return b.proof.reduce((node, sibling) => keccak256(concat(node < sibling ? [node, sibling] : [sibling, node])), leaf);
}

const [bundlePath = "", trustedPath = "", offline] = process.argv.slice(2);
const bundle: Bundle = JSON.parse(readFileSync(bundlePath, "utf8"));
const trusted: Trusted = JSON.parse(readFileSync(trustedPath, "utf8"));
if (bundle.version !== 1 || bundle.chainId !== trusted.chainId || !isAddressEqual(bundle.hub, trusted.hub)) refuse("of another chain or hub");
if (bundle.tokenId !== trusted.tokenId) refuse("for another course");
if (offline === "--offline") {
  if (!trusted.roots.includes(bundle.root) || rootOf(bundle) !== bundle.root) refuse("the leaf lies under no root that you know");
  console.log(`ok: recorded for ${bundle.to}; whether it was revoked since, a node knows`);
} else {
  const node = createPublicClient({ transport: http(trusted.node) });
  if ((await node.getChainId()) !== trusted.chainId) refuse("the node is of another chain");
  const { root, index, orderKey, to, commitment, proof } = bundle;
  const [tokenId, expiry] = [BigInt(bundle.tokenId), BigInt(bundle.expiry)];
  const hub = { address: trusted.hub, abi: HUB } as const;
  const args = [root, index, orderKey, to, tokenId, expiry, commitment, proof] as const;
  if (!(await node.readContract({ ...hub, functionName: "verify", args }))) refuse("not anchored, revoked or expired");
  const held = await node.readContract({ ...hub, functionName: "hasAccess", args: [to, tokenId] });
  console.log(`ok: stands for ${to}, token claimed: ${held ? "yes" : "no"}`);
}
