// Passkeys: what the browser's credentials take and give, from and to JSON.

// supported: a passkey is bound to a name over https, or localhost; an address has none.
export const supported = () => Boolean(window.PublicKeyCredential) && !/^[\d.]+$|:/.test(location.hostname);

// create makes a passkey and get signs with one, by the server's options. Numbers in
// them may be text (json.js): what takes them makes numbers of them again.
export async function create({ publicKey }) {
  return toJSON(await ask('create', PublicKeyCredential.parseCreationOptionsFromJSON?.(publicKey) ?? {
    ...publicKey,
    challenge: bytes(publicKey.challenge),
    user: { ...publicKey.user, id: bytes(publicKey.user.id) },
    excludeCredentials: descriptors(publicKey.excludeCredentials),
  }));
}

export async function get({ publicKey }) {
  return toJSON(await ask('get', PublicKeyCredential.parseRequestOptionsFromJSON?.(publicKey) ?? {
    ...publicKey,
    challenge: bytes(publicKey.challenge),
    allowCredentials: descriptors(publicKey.allowCredentials),
  }));
}

async function ask(what, publicKey) {
  try {
    return await navigator.credentials[what]({ publicKey });
  } catch (error) {
    throw new Error({
      InvalidStateError: 'This device has a passkey for this account already',
      NotAllowedError: 'No passkey was used: it was cancelled, or took too long',
      SecurityError: 'This browser does not use passkeys at this address',
    }[error.name] ?? `Your browser could not use a passkey: ${error.message}`, { cause: error });
  }
}

const descriptors = (list = []) => list.map((d) => ({ ...d, id: bytes(d.id) }));

function toJSON(credential) {
  if (credential.toJSON) return credential.toJSON();
  const { id, type, rawId, authenticatorAttachment, response } = credential;
  const members = ['clientDataJSON', 'attestationObject', 'authenticatorData', 'signature', 'userHandle'];
  return {
    id, type, rawId: text(rawId), authenticatorAttachment, clientExtensionResults: credential.getClientExtensionResults(),
    response: {
      ...Object.fromEntries(members.filter((name) => response[name]).map((name) => [name, text(response[name])])),
      transports: response.getTransports?.(),
    },
  };
}

// bytes and text are base64url without padding, RFC 4648 section 5.
const bytes = (s) => Uint8Array.from(atob(s.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));

const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
