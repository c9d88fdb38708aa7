// Package webhook tells the operator's systems what happened, over HTTP.
//
// It owns the form of a delivery, its signature, and what counts as an answer. What is
// delivered, when, and how often it is tried, are its caller's. A delivery may arrive
// more than once: its id and its body are the same each time.
package webhook
