package account

// kinds is the table of the kinds of event, by number. A name is what tools print for
// ever, whatever the Go type is called; a kind without one is no kind. A new kind takes a
// line here, a golden record (see golden_test.go) and a generator (generators_test.go).
var kinds = [numKinds]struct {
	name string
	make func() Event
}{
	kindCreated:                 {"Created", func() Event { return new(Created) }},
	kindLoggedIn:                {"LoggedIn", func() Event { return new(LoggedIn) }},
	kindLoggedOut:               {"LoggedOut", func() Event { return new(LoggedOut) }},
	kindProfileChanged:          {"ProfileChanged", func() Event { return new(ProfileChanged) }},
	kindStatusChanged:           {"StatusChanged", func() Event { return new(StatusChanged) }},
	kindDeposited:               {"Deposited", func() Event { return new(Deposited) }},
	kindWithdrawalRequested:     {"WithdrawalRequested", func() Event { return new(WithdrawalRequested) }},
	kindSaleRequested:           {"SaleRequested", func() Event { return new(SaleRequested) }},
	kindPaymentCreated:          {"PaymentCreated", func() Event { return new(PaymentCreated) }},
	kindTxCompleted:             {"TxCompleted", func() Event { return new(TxCompleted) }},
	kindTxFailed:                {"TxFailed", func() Event { return new(TxFailed) }},
	kindCredited:                {"Credited", func() Event { return new(Credited) }},
	kindDebited:                 {"Debited", func() Event { return new(Debited) }},
	kindKeyUsed:                 {"KeyUsed", func() Event { return new(KeyUsed) }},
	kindOtherSessionsEnded:      {"OtherSessionsEnded", func() Event { return new(OtherSessionsEnded) }},
	kindSessionUsed:             {"SessionUsed", func() Event { return new(SessionUsed) }},
	kindTOTPEnrolled:            {"TOTPEnrolled", func() Event { return new(TOTPEnrolled) }},
	kindTOTPUsed:                {"TOTPUsed", func() Event { return new(TOTPUsed) }},
	kindTOTPRemoved:             {"TOTPRemoved", func() Event { return new(TOTPRemoved) }},
	kindPasskeyAdded:            {"PasskeyAdded", func() Event { return new(PasskeyAdded) }},
	kindPasskeyUsed:             {"PasskeyUsed", func() Event { return new(PasskeyUsed) }},
	kindPasskeyRemoved:          {"PasskeyRemoved", func() Event { return new(PasskeyRemoved) }},
	kindRecoveryCodesSet:        {"RecoveryCodesSet", func() Event { return new(RecoveryCodesSet) }},
	kindRecoveryCodeUsed:        {"RecoveryCodeUsed", func() Event { return new(RecoveryCodeUsed) }},
	kindSessionRotated:          {"SessionRotated", func() Event { return new(SessionRotated) }},
	kindFactorsReset:            {"FactorsReset", func() Event { return new(FactorsReset) }},
	kindAccountRestored:         {"AccountRestored", func() Event { return new(AccountRestored) }},
	kindLogRestored:             {"LogRestored", func() Event { return new(LogRestored) }},
	kindModeSet:                 {"ModeSet", func() Event { return new(ModeSet) }},
	kindAddressAdded:            {"AddressAdded", func() Event { return new(AddressAdded) }},
	kindAddressRemoved:          {"AddressRemoved", func() Event { return new(AddressRemoved) }},
	kindWithdrawalApproved:      {"WithdrawalApproved", func() Event { return new(WithdrawalApproved) }},
	kindCreditBacked:            {"CreditBacked", func() Event { return new(CreditBacked) }},
	kindNoticeQueued:            {"NoticeQueued", func() Event { return new(NoticeQueued) }},
	kindNoticeSettled:           {"NoticeSettled", func() Event { return new(NoticeSettled) }},
	kindNoticeReplayed:          {"NoticeReplayed", func() Event { return new(NoticeReplayed) }},
	kindNoticeLost:              {"NoticeLost", func() Event { return new(NoticeLost) }},
	kindEmailCodeSent:           {"EmailCodeSent", func() Event { return new(EmailCodeSent) }},
	kindEmailCodeMissed:         {"EmailCodeMissed", func() Event { return new(EmailCodeMissed) }},
	kindEmailVerified:           {"EmailVerified", func() Event { return new(EmailVerified) }},
	kindRecoveryRequested:       {"RecoveryRequested", func() Event { return new(RecoveryRequested) }},
	kindRecoveryReminded:        {"RecoveryReminded", func() Event { return new(RecoveryReminded) }},
	kindRecoveryCancelled:       {"RecoveryCancelled", func() Event { return new(RecoveryCancelled) }},
	kindPayoutExported:          {"PayoutExported", func() Event { return new(PayoutExported) }},
	kindPayoutSigned:            {"PayoutSigned", func() Event { return new(PayoutSigned) }},
	kindPayoutMined:             {"PayoutMined", func() Event { return new(PayoutMined) }},
	kindPayoutUnmined:           {"PayoutUnmined", func() Event { return new(PayoutUnmined) }},
	kindPayoutConfirmed:         {"PayoutConfirmed", func() Event { return new(PayoutConfirmed) }},
	kindPayoutCancelled:         {"PayoutCancelled", func() Event { return new(PayoutCancelled) }},
	kindSaleClaimed:             {"SaleClaimed", func() Event { return new(SaleClaimed) }},
	kindSaleFreed:               {"SaleFreed", func() Event { return new(SaleFreed) }},
	kindPayoutTxSeen:            {"PayoutTxSeen", func() Event { return new(PayoutTxSeen) }},
	kindPayoutReplaced:          {"PayoutReplaced", func() Event { return new(PayoutReplaced) }},
	kindPaymentAddressed:        {"PaymentAddressed", func() Event { return new(PaymentAddressed) }},
	kindOutputSeen:              {"OutputSeen", func() Event { return new(OutputSeen) }},
	kindOutputConfirmed:         {"OutputConfirmed", func() Event { return new(OutputConfirmed) }},
	kindOutputRemoved:           {"OutputRemoved", func() Event { return new(OutputRemoved) }},
	kindPaymentCredited:         {"PaymentCredited", func() Event { return new(PaymentCredited) }},
	kindRefundQueued:            {"RefundQueued", func() Event { return new(RefundQueued) }},
	kindCreditReversed:          {"CreditReversed", func() Event { return new(CreditReversed) }},
	kindFreezeLifted:            {"FreezeLifted", func() Event { return new(FreezeLifted) }},
	kindChainAdvanced:           {"ChainAdvanced", func() Event { return new(ChainAdvanced) }},
	kindRefundSettled:           {"RefundSettled", func() Event { return new(RefundSettled) }},
	kindPayoutTxMined:           {"PayoutTxMined", func() Event { return new(PayoutTxMined) }},
	kindPayoutTxUnmined:         {"PayoutTxUnmined", func() Event { return new(PayoutTxUnmined) }},
	kindPayoutTxConfirmed:       {"PayoutTxConfirmed", func() Event { return new(PayoutTxConfirmed) }},
	kindPayoutUnspent:           {"PayoutUnspent", func() Event { return new(PayoutUnspent) }},
	kindTermsAgreed:             {"TermsAgreed", func() Event { return new(TermsAgreed) }},
	kindOutputsAnswered:         {"OutputsAnswered", func() Event { return new(OutputsAnswered) }},
	kindIndexesSkipped:          {"IndexesSkipped", func() Event { return new(IndexesSkipped) }},
	kindUnassignedOutputMoved:   {"UnassignedOutputMoved", func() Event { return new(UnassignedOutputMoved) }},
	kindUnassignedOutputSettled: {"UnassignedOutputSettled", func() Event { return new(UnassignedOutputSettled) }},
	kindNetworkSet:              {"NetworkSet", func() Event { return new(NetworkSet) }},
	kindExtendedKeyAdded:        {"ExtendedKeyAdded", func() Event { return new(ExtendedKeyAdded) }},
}

// newEvent returns an empty event of kind k, or nil if there is no such kind.
func newEvent(k kind) Event {
	if k >= numKinds || kinds[k].make == nil {
		return nil
	}
	return kinds[k].make()
}

// EventName returns the name of e's kind, such as TxCompleted: one word, to be printed.
func EventName(e Event) string { return kinds[e.kind()].name }
