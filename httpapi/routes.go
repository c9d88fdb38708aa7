package httpapi

// access says who may call a route.
type access uint8

const (
	probe             access = iota // anybody, as often as they like: for what watches the service
	public                          // anybody
	sessionOnly                     // any live session
	owner                           // the session of the user in the path
	operatorOnly                    // an operator's key
	ownerOrOperator                 // either of these
	sessionOrOperator               // a live session, or an operator's key
)

// handler answers a request: it sets the response, or returns an error for
// problemOf.
type handler func(r *request) error

// route is what the server knows of a method and path.
type route struct {
	name   string // in metrics
	access access
	always bool // answered during recovery too
	handle handler
}

// table is every route there is. The OpenAPI document names the same ones.
func (s *Server) table() []entry[route] {
	return []entry[route]{
		{"GET", "/healthz", route{"healthz", probe, true, s.health}},
		{"GET", "/readyz", route{"readyz", probe, true, s.readiness}},
		{"GET", "/metrics", route{"metrics", probe, true, s.writeMetrics}},
		{"GET", "/", route{"page", public, true, s.page}},
		{"GET", "/Exchange", route{"page", public, true, s.page}},
		{"GET", "/operator", route{"operator_page", public, true, s.operatorPage}},
		{"GET", "/assets/{path...}", route{"asset", public, true, s.asset}},
		{"GET", "/api/docs", route{"docs", public, true, s.docs}},
		{"GET", "/api/openapi.json", route{"openapi", public, true, s.openAPI}},

		{"POST", "/api/auth/nonce", route{"nonce", public, false, s.nonce}},
		{"POST", "/api/users/login", route{"login", public, false, s.login}},
		{"POST", "/api/users/logout", route{"logout", sessionOnly, false, s.logout}},
		{"GET", "/api/users/me", route{"profile", sessionOnly, false, s.profile}},
		{"PATCH", "/api/users/me", route{"change_profile", sessionOnly, false, s.changeProfile}},
		{"GET", "/api/users/me/sessions", route{"sessions", sessionOnly, false, s.sessions}},
		{"DELETE", "/api/users/me/sessions", route{"end_other_sessions", sessionOnly, false, s.endOtherSessions}},
		{"DELETE", "/api/users/me/sessions/{id}", route{"end_session", sessionOnly, false, s.endSession}},
		{"GET", "/api/users/{id}/events", route{"events", owner, false, s.events}},
		{"GET", "/api/users/{id}/balance", route{"balance", owner, false, s.balance}},
		{"GET", "/api/users/{id}/transactions", route{"transactions", owner, false, s.transactions}},
		{"GET", "/api/users/{id}/transactions.csv", route{"transactions_csv", owner, false, s.transactionsCSV}},
		{"POST", "/api/users/{id}/deposits", route{"deposit", ownerOrOperator, false, s.deposit}},
		{"POST", "/api/users/{id}/withdrawals", route{"withdraw", owner, false, s.withdraw}},

		{"GET", "/api/exchange/rates", route{"rates", public, false, s.rates}},
		{"GET", "/api/exchange/terms", route{"terms", public, false, s.terms}},
		{"GET", "/api/exchange/market-stats", route{"market_stats", public, false, s.marketStats}},
		{"GET", "/api/exchange/candles", route{"candles", public, false, s.candles}},
		{"POST", "/api/exchange/create-payment", route{"create_payment", sessionOnly, false, s.createPayment}},
		{"GET", "/api/exchange/payment-status/{id}", route{"payment_status", sessionOnly, false, s.paymentStatus}},
		{"POST", "/api/exchange/confirm-payment/{id}", route{"confirm_payment", sessionOrOperator, false, s.confirmPayment}},
		{"POST", "/api/exchange/sell", route{"sell", sessionOnly, false, s.sell}},

		{"GET", "/api/operator/users", route{"operator_users", operatorOnly, false, s.operatorUsers}},
		{"GET", "/api/operator/users/{id}", route{"operator_user", operatorOnly, false, s.operatorUser}},
		{"GET", "/api/operator/users/{id}/transactions", route{"operator_user_transactions", operatorOnly, false, s.transactions}},
		{"POST", "/api/operator/users/{id}/suspend", route{"operator_suspend", operatorOnly, false, s.suspend}},
		{"POST", "/api/operator/users/{id}/close", route{"operator_close", operatorOnly, false, s.closeAccount}},
		{"POST", "/api/operator/users/{id}/reactivate", route{"operator_reactivate", operatorOnly, false, s.reactivate}},
		{"POST", "/api/operator/users/{id}/credit", route{"operator_credit", operatorOnly, false, s.credit}},
		{"POST", "/api/operator/users/{id}/debit", route{"operator_debit", operatorOnly, false, s.debit}},
		{"GET", "/api/operator/health", route{"operator_health", operatorOnly, false, s.operatorHealth}},
		{"GET", "/api/operator/transactions", route{"operator_transactions", operatorOnly, false, s.openTransactions}},
		{"POST", "/api/operator/transactions/{id}/complete", route{"operator_complete", operatorOnly, false, s.completeTransaction}},
		{"POST", "/api/operator/transactions/{id}/fail", route{"operator_fail", operatorOnly, false, s.failTransaction}},
		{"POST", "/api/operator/snapshot", route{"operator_snapshot", operatorOnly, false, s.takeSnapshot}},
	}
}
