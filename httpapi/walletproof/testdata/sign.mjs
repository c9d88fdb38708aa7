// Signs the challenges of challenges.json with the code that users' wallets run, and
// writes wallets.json. Run it in this directory:
//
//	npm install --no-save ethers@6 viem@2 bip322-js@3 bitcoinjs-message@2 bs58check@3
//	node sign.mjs
//
// The key is the SHA-256 of a word, and worth nothing. All signatures but that of
// Taproot, which has a random part, come out the same on each run.
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Wallet } from 'ethers';
import { privateKeyToAccount } from 'viem/accounts';
import { createSiweMessage, parseSiweMessage } from 'viem/siwe';

const require = createRequire(import.meta.url);
const { Signer } = require('bip322-js');
const legacy = require('bitcoinjs-message');

const key = createHash('sha256').update('wallet').digest();
const hex = '0x' + key.toString('hex');
const wif = (compressed) => {
  const bs58check = require('bs58check');
  const encode = bs58check.encode ?? bs58check.default.encode;
  return encode(Buffer.concat([Buffer.from([0x80]), key, Buffer.from(compressed ? [1] : [])]));
};

const proofs = [];
for (const challenge of JSON.parse(readFileSync('challenges.json'))) {
  const { kind, wallet, message } = challenge;
  const add = (by, signature, text) => proofs.push({ by, kind, wallet, nonce: challenge.nonce, message: text, signature });
  switch (kind) {
    case 'ethereum': {
      add('ethers', await new Wallet(hex).signMessage(message));
      const account = privateKeyToAccount(hex);
      add('viem', await account.signMessage({ message }));
      const read = parseSiweMessage(message);
      const own = createSiweMessage({
        address: read.address, chainId: read.chainId, domain: read.domain, nonce: read.nonce,
        uri: read.uri + '/login', version: read.version, issuedAt: read.issuedAt, scheme: 'https',
        statement: 'Sign in with what the client wrote.', resources: ['https://exchange.example/terms'],
      });
      add('viem createSiweMessage', await account.signMessage({ message: own }), own);
      break;
    }
    case 'p2pkh':
      add('bitcoinjs-message', legacy.sign(message, key, true).toString('base64'));
      add('bip322-js', Signer.sign(wif(true), wallet, message));
      break;
    case 'p2pkh uncompressed':
      add('bitcoinjs-message', legacy.sign(message, key, false).toString('base64'));
      break;
    case 'p2sh-p2wpkh':
      add('bitcoinjs-message', legacy.sign(message, key, true, { segwitType: 'p2sh(p2wpkh)' }).toString('base64'));
      add('bitcoinjs-message, Electrum header', legacy.sign(message, key, true).toString('base64'));
      add('bip322-js', Signer.sign(wif(true), wallet, message));
      break;
    case 'p2wpkh':
      add('bitcoinjs-message', legacy.sign(message, key, true, { segwitType: 'p2wpkh' }).toString('base64'));
      add('bitcoinjs-message, Electrum header', legacy.sign(message, key, true).toString('base64'));
      add('bip322-js', Signer.sign(wif(true), wallet, message));
      break;
    case 'p2tr':
      add('bip322-js', Signer.sign(wif(true), wallet, message));
      break;
    default:
      throw new Error('unknown kind ' + kind);
  }
}
writeFileSync('wallets.json', JSON.stringify(proofs, null, 2) + '\n');
