package httpapi

import "slices"

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

	// guarded goes with any of those with a session, and is for who reads the table: what
	// the session asks for takes a second factor, and a test tries it without one. The
	// account asks for it whatever stands here, see account.Guard.
	guarded access = 1 << 7

	// fastPath goes with any of those too: the handler never waits, but by await, so that
	// the event loops may call it.
	fastPath access = 1 << 6
)

// who is a without what is asked of them beside.
func (a access) who() access { return a &^ (guarded | fastPath) }

// handler answers a request: it sets the response, or returns an error for
// problemOf.
type handler func(r *request) error

// route is what the server knows of a method and path.
type route struct {
	name   string // in metrics
	access access
	role   role // the least that an operator's key must be good for; noRole where keys are for nothing
	always bool // answered during recovery too
	handle handler
}

// table is every route there is. The OpenAPI document names the same ones.
func (s *Server) table() []entry[route] {
	return slices.Concat(s.serviceRoutes(), s.userRoutes(), s.exchangeRoutes(), s.operatorRoutes())
}

// serviceRoutes are those of the service itself: probes, pages and documents.
func (s *Server) serviceRoutes() []entry[route] {
	return []entry[route]{
		{"GET", "/healthz", route{"healthz", probe, noRole, true, s.health}},
		{"GET", "/readyz", route{"readyz", probe, noRole, true, s.readiness}},
		{"GET", "/metrics", route{"metrics", probe, noRole, true, s.writeMetrics}},
		{"GET", "/", route{"page", public, noRole, true, s.page}},
		{"GET", "/Exchange", route{"page", public, noRole, true, s.page}},
		{"GET", "/operator", route{"operator_page", public, noRole, true, s.operatorPage}},
		{"GET", "/assets/{path...}", route{"asset", public, noRole, true, s.asset}},
		{"GET", "/api/docs", route{"docs", public, noRole, true, s.docs}},
		{"GET", "/api/openapi.json", route{"openapi", public, noRole, true, s.openAPI}},
	}
}

// userRoutes are those of logins and of a user's own account.
func (s *Server) userRoutes() []entry[route] {
	return []entry[route]{
		{"POST", "/api/auth/nonce", route{"nonce", public, noRole, false, s.nonce}},
		{"POST", "/api/auth/access-token", route{"access_token", sessionOnly, noRole, false, s.issueAccessToken}},
		{"GET", "/.well-known/jwks.json", route{"key_set", public, noRole, false, s.keySet}},
		{"POST", "/api/users/login", route{"login", public, noRole, false, s.login}},
		{"POST", "/api/users/logout", route{"logout", sessionOnly, noRole, false, s.logout}},
		{"GET", "/api/users/me", route{"profile", sessionOnly | fastPath, noRole, false, s.profile}},
		{"PATCH", "/api/users/me", route{"change_profile", sessionOnly | guarded, noRole, false, s.changeProfile}},
		{"GET", "/api/users/me/email", route{"email", sessionOnly, noRole, false, s.email}},
		{"POST", "/api/users/me/email/verify", route{"verify_email", sessionOnly, noRole, false, s.verifyEmail}},
		{"POST", "/api/users/me/email/verify/confirm", route{"confirm_email", sessionOnly, noRole, false, s.confirmEmail}},
		{"GET", "/api/users/me/sessions", route{"sessions", sessionOnly, noRole, false, s.sessions}},
		{"DELETE", "/api/users/me/sessions", route{"end_other_sessions", sessionOnly, noRole, false, s.endOtherSessions}},
		{"DELETE", "/api/users/me/sessions/{id}", route{"end_session", sessionOnly, noRole, false, s.endSession}},
		{"POST", "/api/auth/step-up", route{"step_up", sessionOnly, noRole, false, s.stepUp}},
		{"POST", "/api/auth/step-up/options", route{"step_up_options", sessionOnly, noRole, false, s.beginStepUp}},
		{"GET", "/api/users/me/factors", route{"factors", sessionOnly, noRole, false, s.factors}},
		{"GET", "/api/users/me/factors/recovery", route{"recovery", sessionOnly, noRole, false, s.recovery}},
		{"POST", "/api/users/me/factors/recovery", route{"start_recovery", sessionOnly, noRole, false, s.startRecovery}},
		{"POST", "/api/users/me/factors/recovery/confirm", route{"confirm_recovery", sessionOnly, noRole, false, s.confirmRecovery}},
		{"POST", "/api/users/me/factors/recovery/cancel", route{"cancel_recovery", sessionOnly, noRole, false, s.cancelRecovery}},
		{"POST", "/api/users/me/factors/totp", route{"begin_totp", sessionOnly, noRole, false, s.beginTOTP}},
		{"POST", "/api/users/me/factors/totp/confirm", route{"confirm_totp", sessionOnly, noRole, false, s.confirmTOTP}},
		{"DELETE", "/api/users/me/factors/totp", route{"remove_totp", sessionOnly | guarded, noRole, false, s.removeTOTP}},
		{"POST", "/api/users/me/factors/recovery-codes", route{"recovery_codes", sessionOnly | guarded, noRole, false, s.newRecoveryCodes}},
		{"POST", "/api/users/me/factors/passkeys/options", route{"begin_passkey", sessionOnly, noRole, false, s.beginPasskey}},
		{"POST", "/api/users/me/factors/passkeys", route{"add_passkey", sessionOnly, noRole, false, s.addPasskey}},
		{"DELETE", "/api/users/me/factors/passkeys/{id}", route{"remove_passkey", sessionOnly | guarded, noRole, false, s.removePasskey}},
		{"GET", "/api/users/me/addresses", route{"addresses", sessionOnly, noRole, false, s.addresses}},
		{"POST", "/api/users/me/addresses", route{"add_address", sessionOnly | guarded, noRole, false, s.addAddress}},
		{"DELETE", "/api/users/me/addresses/{id}", route{"remove_address", sessionOnly | guarded, noRole, false, s.removeAddress}},
		{"GET", "/api/users/{id}/events", route{"events", owner, noRole, false, s.events}},
		{"GET", "/api/users/{id}/balance", route{"balance", owner | fastPath, noRole, false, s.balance}},
		{"GET", "/api/users/{id}/transactions", route{"transactions", owner | fastPath, noRole, false, s.transactions}},
		{"GET", "/api/users/{id}/transactions.csv", route{"transactions_csv", owner, noRole, false, s.transactionsCSV}},
		{"POST", "/api/users/{id}/deposits", route{"deposit", ownerOrOperator | fastPath, operates, false, s.deposit}},
		{"POST", "/api/users/{id}/operations", route{"operations", owner | guarded, noRole, false, s.operations}},
		{"POST", "/api/users/{id}/withdrawals", route{"withdraw", owner | guarded, noRole, false, s.withdraw}},
	}
}

// exchangeRoutes are those of the exchange's terms and market, and of buying and selling.
func (s *Server) exchangeRoutes() []entry[route] {
	return []entry[route]{
		{"GET", "/api/exchange/rates", route{"rates", public | fastPath, noRole, false, s.rates}},
		{"GET", "/api/exchange/terms", route{"terms", public, noRole, false, s.terms}},
		{"GET", "/api/exchange/market-stats", route{"market_stats", public | fastPath, noRole, false, s.marketStats}},
		{"GET", "/api/exchange/candles", route{"candles", public, noRole, false, s.candles}},
		{"POST", "/api/exchange/create-payment", route{"create_payment", sessionOnly, noRole, false, s.createPayment}},
		{"GET", "/api/exchange/payment-status/{id}", route{"payment_status", sessionOnly, noRole, false, s.paymentStatus}},
		{"POST", "/api/exchange/confirm-payment/{id}", route{"confirm_payment", sessionOrOperator, operates, false, s.confirmPayment}},
		{"POST", "/api/exchange/sell", route{"sell", sessionOnly | guarded, noRole, false, s.sell}},
	}
}

// operatorRoutes are those that take an operator's key.
func (s *Server) operatorRoutes() []entry[route] {
	return []entry[route]{
		{"GET", "/api/operator/users", route{"operator_users", operatorOnly, reads, false, s.operatorUsers}},
		{"GET", "/api/operator/users/{id}", route{"operator_user", operatorOnly, reads, false, s.operatorUser}},
		{"GET", "/api/operator/users/{id}/transactions", route{"operator_user_transactions", operatorOnly, reads, false, s.transactions}},
		{"POST", "/api/operator/users/{id}/suspend", route{"operator_suspend", operatorOnly, operates, false, s.suspend}},
		{"POST", "/api/operator/users/{id}/close", route{"operator_close", operatorOnly, admin, false, s.closeAccount}},
		{"POST", "/api/operator/users/{id}/reactivate", route{"operator_reactivate", operatorOnly, operates, false, s.reactivate}},
		{"POST", "/api/operator/users/{id}/credit", route{"operator_credit", operatorOnly, admin, false, s.credit}},
		{"POST", "/api/operator/users/{id}/debit", route{"operator_debit", operatorOnly, admin, false, s.debit}},
		{"POST", "/api/operator/users/{id}/cancel-recovery", route{"operator_cancel_recovery", operatorOnly, operates, false, s.operatorCancelRecovery}},
		{"POST", "/api/operator/users/{id}/reset-factors", route{"operator_reset_factors", operatorOnly, admin, false, s.resetFactors}},
		{"GET", "/api/operator/health", route{"operator_health", operatorOnly, reads, false, s.operatorHealth}},
		{"GET", "/api/operator/transactions", route{"operator_transactions", operatorOnly, reads, false, s.openTransactions}},
		{"POST", "/api/operator/transactions/{id}/approve", route{"operator_approve", operatorOnly, operates, false, s.approveTransaction}},
		{"POST", "/api/operator/transactions/{id}/complete", route{"operator_complete", operatorOnly, operates, false, s.completeTransaction}},
		{"POST", "/api/operator/transactions/{id}/fail", route{"operator_fail", operatorOnly, operates, false, s.failTransaction}},
		{"POST", "/api/operator/transactions/{id}/lift-freeze", route{"operator_lift_freeze", operatorOnly, admin, false, s.liftFreeze}},
		{"GET", "/api/operator/notices", route{"operator_notices", operatorOnly, reads, false, s.notices}},
		{"POST", "/api/operator/notices/{id}/replay", route{"operator_replay_notice", operatorOnly, operates, false, s.replayNotice}},
		{"POST", "/api/operator/notices/replay", route{"operator_replay_notices", operatorOnly, operates, false, s.replayNotices}},
		{"GET", "/api/operator/refunds", route{"operator_refunds", operatorOnly, reads, false, s.operatorRefunds}},
		{"POST", "/api/operator/refunds/{id}/{outpoint}/settle", route{"operator_settle_refund", operatorOnly, operates, false, s.settleRefund}},
		{"GET", "/api/operator/unassigned-outputs", route{"operator_unassigned_outputs", operatorOnly, reads, false, s.operatorUnassignedOutputs}},
		{"POST", "/api/operator/unassigned-outputs/{outpoint}/settle", route{"operator_settle_unassigned_output", operatorOnly, operates, false, s.settleUnassignedOutput}},
		{"GET", "/api/operator/payouts", route{"operator_payouts", operatorOnly, reads, false, s.operatorPayouts}},
		{"POST", "/api/operator/payouts", route{"operator_export_payout", operatorOnly, operates, false, s.exportPayout}},
		{"GET", "/api/operator/payouts/{payout}", route{"operator_payout", operatorOnly, reads, false, s.operatorPayout}},
		{"POST", "/api/operator/payouts/{payout}/import", route{"operator_import_payout", operatorOnly, operates, false, s.importPayout}},
		{"POST", "/api/operator/payouts/{payout}/cancel", route{"operator_cancel_payout", operatorOnly, operates, false, s.cancelPayout}},
		{"GET", "/api/operator/reconcile", route{"operator_reconcile", operatorOnly, reads, false, s.reconcile}},
		{"GET", "/api/operator/audit", route{"operator_audit", operatorOnly, reads, false, s.audit}},
		{"POST", "/api/operator/snapshot", route{"operator_snapshot", operatorOnly, operates, false, s.takeSnapshot}},
	}
}
