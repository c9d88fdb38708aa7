// JSON whose numbers stay what they are. JSON.parse would make 92233720368.54775807
// a float and lose the end of it, so decode turns every number into its own text,
// and encode writes a BigInt as the decimal that money.js means by it.

import { plain } from './money.js';

const token = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

export const decode = (text) => JSON.parse(text.replace(token, (t) => (t[0] === '"' ? t : `"${t}"`)));

export function encode(members) {
  const parts = Object.entries(members)
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => `${JSON.stringify(name)}:${typeof value === 'bigint' ? plain(value) : JSON.stringify(value)}`);
  return `{${parts.join(',')}}`;
}
