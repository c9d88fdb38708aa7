// Addresses as one types them. This finds typing errors early; the server decides.

const LETTERS = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';

// bitcoinError says what is wrong with a Bitcoin address, '' if nothing is seen.
export function bitcoinError(address) {
  if (/^(bc|tb|bcrt)1/i.test(address)) {
    if (address !== address.toLowerCase() && address !== address.toUpperCase()) return 'Capital and small letters are mixed in this address';
    const [prefix, data] = address.toLowerCase().split(/1(?!.*1)/);
    const values = [...data].map((c) => LETTERS.indexOf(c));
    const bad = values.indexOf(-1);
    if (bad >= 0) return `“${data[bad]}” cannot be in such an address`;
    if (data.length < 14) return 'This address is not complete';
    if (![1, 0x2bc830a3].includes(polymod([...expand(prefix), ...values]))) return 'Check this address: a character is missing or mistyped';
    return '';
  }
  const bad = /[^1-9A-HJ-NP-Za-km-z]/.exec(address);
  if (bad) return `“${bad[0]}” cannot be in a Bitcoin address`;
  if (!/^[13mn2]/.test(address)) return 'A Bitcoin address begins with bc1, 1 or 3';
  if (address.length < 26) return 'This address is not complete';
  if (address.length > 35) return 'This is too long for a Bitcoin address';
  return '';
}

// walletError is bitcoinError for an AITBC wallet (actors/address.go).
export function walletError(address) {
  const bad = /[^0-9A-Za-z_]/.exec(address);
  if (bad) return `“${bad[0]}” cannot be in an address: letters, digits and _ only`;
  if (address.length < 8) return 'An address has at least 8 characters';
  return '';
}

// simulatedAddress makes a random address of Bitcoin's regression-test network, for
// the demo: it belongs to nobody.
export function simulatedAddress() {
  const words = [0, ...Array.from(crypto.getRandomValues(new Uint8Array(32)), (b) => b & 31)];
  const prefix = 'bcrt';
  const sum = polymod([...expand(prefix), ...words, 0, 0, 0, 0, 0, 0]) ^ 1;
  const check = [0, 1, 2, 3, 4, 5].map((i) => (sum >>> (5 * (5 - i))) & 31);
  return `${prefix}1${[...words, ...check].map((v) => LETTERS[v]).join('')}`;
}

// expand and polymod are of BIP-173.
const expand = (prefix) => [...[...prefix].map((c) => c.charCodeAt(0) >> 5), 0, ...[...prefix].map((c) => c.charCodeAt(0) & 31)];

function polymod(values) {
  const generator = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];
  let sum = 1;
  for (const value of values) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    generator.forEach((g, i) => { if ((top >>> i) & 1) sum ^= g; });
  }
  return sum >>> 0;
}
