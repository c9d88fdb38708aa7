// Wallets. connect of each returns {address, sign(message)}: sign resolves to a
// signature of the text by the wallet's key. A demo wallet has no key, its sign is
// null, and it can log in only where the exchange asks for no signature.

const NAME = 'aitbc.wallet'; // in localStorage: who returns gets the same account back

const found = new Map(); // EIP-6963: wallet extensions by uuid

window.addEventListener('eip6963:announceProvider', ({ detail }) => found.set(detail.info.uuid, detail));
window.dispatchEvent(new Event('eip6963:requestProvider'));

// browserWallets lists [{name, connect}]: those that announced themselves (EIP-6963),
// or else the one in window.ethereum (EIP-1193).
export function browserWallets() {
  const list = [...found.values()].map(({ info, provider }) => ({ name: info.name, connect: () => connectProvider(provider) }));
  if (list.length === 0 && window.ethereum) {
    list.push({ name: window.ethereum.isMetaMask ? 'MetaMask' : 'Browser wallet', connect: () => connectProvider(window.ethereum) });
  }
  return list;
}

async function connectProvider(provider) {
  const [address] = await provider.request({ method: 'eth_requestAccounts' });
  if (!address) throw new Error('The wallet gave no account');
  return {
    address,
    sign: (message) => {
      const bytes = new TextEncoder().encode(message);
      const hex = Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
      return provider.request({ method: 'personal_sign', params: [`0x${hex}`, address] });
    },
  };
}

// connectDemo returns this browser's demo wallet, made at the first call.
export async function connectDemo() {
  let address = localStorage.getItem(NAME);
  if (!/^aitbc1wallet_[0-9a-z]+$/.test(address ?? '')) {
    address = `aitbc1wallet_${random(16)}x${random(8)}`;
    localStorage.setItem(NAME, address);
  }
  return { address, sign: null };
}

function random(length) {
  const letters = '0123456789abcdefghjkmnpqrstvwxyz'; // 32, so a byte's rest is even
  return Array.from(crypto.getRandomValues(new Uint8Array(length)), (b) => letters[b % 32]).join('');
}
