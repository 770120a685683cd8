// Reads batches and results as JSON, writes what OpenZeppelin, ethers and viem make of them.
import { StandardMerkleTree } from "@openzeppelin/merkle-tree";
import { TypedDataEncoder, Wallet, verifyTypedData } from "ethers";
import { readFileSync } from "node:fs";
import { hashTypedData, recoverTypedDataAddress } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const LEAF = ["uint256", "bytes32", "address", "uint256", "uint64", "bytes32"];
const { batches, results, key } = JSON.parse(readFileSync(0, "utf8"));

const trees = batches.map((leaves) => {
  const tree = StandardMerkleTree.of(leaves, LEAF, { sortLeaves: false });
  tree.validate();
  return { root: tree.root, proofs: leaves.map((_, index) => tree.getProof(index)) };
});

const signed = [];
for (const { typed, signature } of results) {
  const { EIP712Domain: _, ...types } = typed.types;
  const { domain, message, primaryType } = typed;
  const asked = { domain, types, primaryType, message };
  signed.push({
    ethers: {
      digest: TypedDataEncoder.hash(domain, types, message),
      signer: verifyTypedData(domain, types, message, signature),
      signature: await new Wallet(key).signTypedData(domain, types, message),
    },
    viem: {
      digest: hashTypedData(asked),
      signer: await recoverTypedDataAddress({ ...asked, signature }),
      signature: await privateKeyToAccount(key).signTypedData(asked),
    },
  });
}
process.stdout.write(JSON.stringify({ trees, signed }));
