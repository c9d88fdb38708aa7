// Package rates says what one Bitcoin costs in AITBC: a fixed rate, or the operator's
// feed with a bound on its age.
//
// It owns reading and checking the feed, and never quotes: the actors package asks
// for the rate of the moment, and locks it into a payment.
package rates
