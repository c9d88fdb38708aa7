// The exchange's terms as it tells them, in exact units.

import * as api from './api.js';
import { fromJSON } from './money.js';

let terms = null;
const listeners = new Set();

// get returns the terms, or null before the first answer.
export const get = () => terms;

export const watch = (listener) => { listeners.add(listener); };

export async function refresh() {
  const t = await api.get('/api/exchange/terms', { token: null });
  terms = {
    rate: fromJSON(t.btc_to_aitbc), // AITBC units for one BTC
    feePPM: fromJSON(t.fee_percent) / 10_000n, // millionths
    feePercent: t.fee_percent,
    minPayment: fromJSON(t.min_payment), // satoshi
    maxPayment: fromJSON(t.max_payment),
    minPayout: fromJSON(t.min_payout),
    withdrawalFee: fromJSON(t.withdrawal_fee), // AITBC units
    confirmations: Number(t.confirmations),
    coolingOff: Number(t.address_cooling_off_seconds), // seconds; 0: any address is paid to
    demo: t.demo,
    signed: t.auth === 'signed', // a login takes the wallet's signature
  };
  listeners.forEach((listener) => listener(terms));
}
