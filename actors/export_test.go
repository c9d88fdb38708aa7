package actors

// SetSmallMargins has a start derive few addresses, most of whose time that is in the
// simulation, and returns how to end that. The margins still cover what a simulated
// exchange gives out in that time.
func SetSmallMargins() (end func()) {
	index, payout, change := indexMargin, payoutMargin, changeAhead
	indexMargin.least, payoutMargin.least, changeAhead = 60, 40, 80
	return func() { indexMargin, payoutMargin, changeAhead = index, payout, change }
}
