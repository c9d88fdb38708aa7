// Package exchangetest holds what tests of several packages need: a buffer for what
// another goroutine or process writes.
//
// It keeps no state and opens nothing. Only tests import this package, except those of
// persistence, which knows nothing of the project.
package exchangetest
