package account

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"
)

// Generators of every event, for whatever is checked of all of them.

var (
	genText = rapid.OneOf(
		rapid.Just(""),
		rapid.StringN(0, 40, -1),
		rapid.Just(strings.Repeat("é", maxText/2)), // as long as there can be
	)
	genMoney = rapid.Custom(func(t *rapid.T) Money {
		return Money(rapid.OneOf(
			rapid.Int64Range(0, 300), rapid.Int64Min(0), rapid.SampledFrom([]int64{int64(Unit), int64(MaxMoney)}),
		).Draw(t, "money"))
	})
	genTime        = rapid.Custom(func(t *rapid.T) Time { return Time(rapid.Int64().Draw(t, "time")) })
	genNumber      = rapid.Uint32()
	genHash        = rapid.Custom(func(t *rapid.T) (h Hash) { fill(t, h[:]); return h })
	genKey         = rapid.Custom(func(t *rapid.T) (k Key) { fill(t, k[:]); return k })
	genFingerprint = rapid.Custom(func(t *rapid.T) (f Fingerprint) { fill(t, f[:]); return f })
	genChainHash   = rapid.Custom(func(t *rapid.T) (h ChainHash) { fill(t, h[:]); return h })
	genHeight      = rapid.Int32Min(0)
	genOutpoint    = rapid.Custom(func(t *rapid.T) Outpoint { return Outpoint{genChainHash.Draw(t, "txid"), number(t)} })
	genUserID      = rapid.Custom(func(t *rapid.T) (id UserID) { fill(t, id[:]); return id })
)

func fill(t *rapid.T, b []byte) {
	copy(b, rapid.SliceOfN(rapid.Byte(), len(b), len(b)).Draw(t, "bytes"))
}

var genRecoveryCode = rapid.Custom(func(t *rapid.T) (c RecoveryCode) {
	fill(t, c.Salt[:])
	c.Hash = genHash.Draw(t, "hash")
	return c
})

// blob draws 1 to limit bytes, sometimes as many as there can be.
func blob(t *rapid.T, limit int) []byte {
	n := rapid.OneOf(rapid.IntRange(1, min(40, limit)), rapid.Just(limit)).Draw(t, "length")
	b := bytes.Repeat([]byte{rapid.Byte().Draw(t, "fill")}, n)
	b[0] = rapid.Byte().Draw(t, "first")
	return b
}

func text(t *rapid.T) string { return genText.Draw(t, "text") }
func money(t *rapid.T) Money { return genMoney.Draw(t, "money") }
func number(t *rapid.T) uint32 {
	return genNumber.Draw(t, "number")
}

// outpoints draws a list that is nil where it is empty, as it is read.
func outpoints(t *rapid.T) []Outpoint {
	outs := rapid.SliceOfN(genOutpoint, 0, MaxOutputs).Draw(t, "outs")
	if len(outs) == 0 {
		return nil
	}
	return outs
}

// genEvents has one generator for each kind of event.
var genEvents = map[kind]*rapid.Generator[Event]{
	kindCreated: rapid.Custom(func(t *rapid.T) Event {
		return &Created{Wallet: text(t), Email: text(t), Username: text(t)}
	}),
	kindLoggedIn: rapid.Custom(func(t *rapid.T) Event {
		return &LoggedIn{Session: genHash.Draw(t, "session"), ExpiresAt: genTime.Draw(t, "expires")}
	}),
	kindLoggedOut: rapid.Custom(func(t *rapid.T) Event {
		return &LoggedOut{Session: genHash.Draw(t, "session")}
	}),
	kindOtherSessionsEnded: rapid.Custom(func(t *rapid.T) Event {
		return &OtherSessionsEnded{Session: genHash.Draw(t, "session")}
	}),
	kindSessionUsed: rapid.Custom(func(t *rapid.T) Event {
		return &SessionUsed{Session: genHash.Draw(t, "session")}
	}),
	kindProfileChanged: rapid.Custom(func(t *rapid.T) Event {
		return &ProfileChanged{Email: text(t), Username: text(t)}
	}),
	kindStatusChanged: rapid.Custom(func(t *rapid.T) Event {
		return &StatusChanged{Status: genStatus.Draw(t, "status"), By: text(t), Reason: text(t)}
	}),
	kindDeposited: rapid.Custom(func(t *rapid.T) Event {
		return &Deposited{Amount: money(t), By: text(t)}
	}),
	kindWithdrawalRequested: rapid.Custom(func(t *rapid.T) Event {
		return &WithdrawalRequested{Amount: money(t), Fee: money(t), To: text(t)}
	}),
	kindSaleRequested: rapid.Custom(func(t *rapid.T) Event {
		return &SaleRequested{Amount: money(t), BTC: money(t), BTCFee: money(t), Address: text(t)}
	}),
	kindPaymentCreated: rapid.Custom(func(t *rapid.T) Event {
		return &PaymentCreated{
			Amount: money(t), BTC: money(t), BTCFee: money(t), Address: text(t),
			ExpiresAt: genTime.Draw(t, "expires"), Notes: text(t),
		}
	}),
	kindTxCompleted: rapid.Custom(func(t *rapid.T) Event {
		return &TxCompleted{
			N: number(t), Type: Type(rapid.Byte().Draw(t, "type")), Amount: money(t), Fee: money(t),
			TxHash: text(t), Confirmations: number(t), By: text(t), Reason: text(t),
		}
	}),
	kindTxFailed: rapid.Custom(func(t *rapid.T) Event {
		return &TxFailed{N: number(t), Expired: rapid.Bool().Draw(t, "expired"), By: text(t), Reason: text(t)}
	}),
	kindCredited: rapid.Custom(func(t *rapid.T) Event {
		return &Credited{Amount: money(t), By: text(t), Reason: text(t)}
	}),
	kindDebited: rapid.Custom(func(t *rapid.T) Event {
		return &Debited{Amount: money(t), By: text(t), Reason: text(t)}
	}),
	kindKeyUsed: rapid.Custom(func(t *rapid.T) Event {
		return &KeyUsed{Key: genKey.Draw(t, "key"), Fingerprint: genFingerprint.Draw(t, "fingerprint"), N: number(t)}
	}),
	kindAccountRestored: rapid.Custom(func(t *rapid.T) Event {
		return &AccountRestored{Number: number(t), Transactions: number(t), Notices: number(t), TOTPStep: rapid.Uint64().Draw(t, "step")}
	}),
	kindLogRestored: rapid.Custom(func(t *rapid.T) Event {
		e := &LogRestored{Number: number(t), Transactions: number(t), Notices: number(t), Payouts: number(t), TOTPStep: rapid.Uint64().Draw(t, "step")}
		fill(t, e.Copy[:])
		return e
	}),
	kindIndexesSkipped: rapid.Custom(func(t *rapid.T) Event { return &IndexesSkipped{number(t), number(t)} }),
	kindUnassignedOutputMoved: rapid.Custom(func(t *rapid.T) Event {
		return &UnassignedOutputMoved{
			Out: genOutpoint.Draw(t, "out"), Index: number(t), Address: text(t), BTC: money(t), Height: genHeight.Draw(t, "height"),
			Block: genChainHash.Draw(t, "block"), Gone: rapid.Bool().Draw(t, "gone"),
		}
	}),
	kindUnassignedOutputSettled: rapid.Custom(func(t *rapid.T) Event {
		return &UnassignedOutputSettled{Out: genOutpoint.Draw(t, "out"), TxHash: text(t), By: text(t), Reason: text(t)}
	}),
	kindTOTPEnrolled: rapid.Custom(func(t *rapid.T) Event {
		return &TOTPEnrolled{Secret: blob(t, maxSealed), Step: rapid.Uint64().Draw(t, "step")}
	}),
	kindTOTPUsed:    rapid.Custom(func(t *rapid.T) Event { return &TOTPUsed{Step: rapid.Uint64().Draw(t, "step")} }),
	kindTOTPRemoved: rapid.Just[Event](&TOTPRemoved{}),
	kindPasskeyAdded: rapid.Custom(func(t *rapid.T) Event {
		return &PasskeyAdded{ID: blob(t, maxCredentialID), Name: text(t), Record: blob(t, maxCredential), Count: number(t)}
	}),
	kindPasskeyUsed: rapid.Custom(func(t *rapid.T) Event {
		return &PasskeyUsed{ID: blob(t, maxCredentialID), Record: blob(t, maxCredential), Count: number(t)}
	}),
	kindPasskeyRemoved: rapid.Custom(func(t *rapid.T) Event { return &PasskeyRemoved{ID: blob(t, maxCredentialID)} }),
	kindRecoveryCodesSet: rapid.Custom(func(t *rapid.T) Event {
		codes := rapid.SliceOfN(genRecoveryCode, 0, MaxRecoveryCodes).Draw(t, "codes")
		if len(codes) == 0 {
			return &RecoveryCodesSet{}
		}
		return &RecoveryCodesSet{Codes: codes}
	}),
	kindRecoveryCodeUsed: rapid.Custom(func(t *rapid.T) Event { return &RecoveryCodeUsed{Code: genHash.Draw(t, "code")} }),
	kindSessionRotated: rapid.Custom(func(t *rapid.T) Event {
		return &SessionRotated{From: genHash.Draw(t, "from"), To: genHash.Draw(t, "to"), Until: genTime.Draw(t, "until")}
	}),
	kindFactorsReset: rapid.Custom(func(t *rapid.T) Event { return &FactorsReset{By: text(t), Reason: text(t)} }),
	kindAddressAdded: rapid.Custom(func(t *rapid.T) Event {
		return &AddressAdded{N: number(t), Kind: genAddressKind.Draw(t, "kind"), Label: text(t), Address: text(t), UsableAt: genTime.Draw(t, "usable")}
	}),
	kindAddressRemoved: rapid.Custom(func(t *rapid.T) Event { return &AddressRemoved{N: number(t)} }),
	kindWithdrawalApproved: rapid.Custom(func(t *rapid.T) Event {
		return &WithdrawalApproved{N: number(t), By: text(t), Reason: text(t)}
	}),
	kindPaymentAddressed: rapid.Custom(func(t *rapid.T) Event {
		return &PaymentAddressed{
			Amount: money(t), BTC: money(t), BTCFee: money(t), Index: number(t), Address: text(t),
			ExpiresAt: genTime.Draw(t, "expires"), Notes: text(t),
		}
	}),
	kindOutputSeen: rapid.Custom(func(t *rapid.T) Event {
		return &OutputSeen{N: number(t), Out: genOutpoint.Draw(t, "out"), BTC: money(t), At: genTime.Draw(t, "at")}
	}),
	kindOutputConfirmed: rapid.Custom(func(t *rapid.T) Event {
		return &OutputConfirmed{
			N: number(t), Out: genOutpoint.Draw(t, "out"), BTC: money(t),
			Height: genHeight.Draw(t, "height"), Block: genChainHash.Draw(t, "block"), At: genTime.Draw(t, "at"),
		}
	}),
	kindOutputRemoved: rapid.Custom(func(t *rapid.T) Event {
		return &OutputRemoved{N: number(t), Out: genOutpoint.Draw(t, "out"), Height: genHeight.Draw(t, "height")}
	}),
	kindPaymentCredited: rapid.Custom(func(t *rapid.T) Event {
		return &PaymentCredited{N: number(t), Amount: money(t), Outs: outpoints(t)}
	}),
	kindRefundQueued: rapid.Custom(func(t *rapid.T) Event {
		return &RefundQueued{N: number(t), Out: genOutpoint.Draw(t, "out"), BTC: money(t)}
	}),
	kindCreditReversed: rapid.Custom(func(t *rapid.T) Event {
		return &CreditReversed{N: number(t), Out: genOutpoint.Draw(t, "out"), Amount: money(t)}
	}),
	kindFreezeLifted: rapid.Custom(func(t *rapid.T) Event {
		return &FreezeLifted{N: number(t), Amount: money(t), Outs: outpoints(t), By: text(t), Reason: text(t)}
	}),
	kindNoticeQueued: rapid.Custom(func(t *rapid.T) Event {
		return &NoticeQueued{N: number(t), Channel: genChannel.Draw(t, "channel"), Name: text(t), Body: text(t)}
	}),
	kindNoticeSettled: rapid.Custom(func(t *rapid.T) Event {
		return &NoticeSettled{N: number(t), State: NoticeState(rapid.Byte().Draw(t, "state")), Attempts: number(t), Problem: text(t)}
	}),
	kindNoticeReplayed: rapid.Custom(func(t *rapid.T) Event {
		return &NoticeReplayed{N: number(t), By: text(t)}
	}),
	kindNoticeLost: rapid.Custom(func(t *rapid.T) Event {
		return &NoticeLost{N: number(t), Channel: genChannel.Draw(t, "channel"), Name: text(t)}
	}),
	kindEmailCodeSent: rapid.Custom(func(t *rapid.T) Event {
		return &EmailCodeSent{Email: text(t), Code: genHash.Draw(t, "code"), ExpiresAt: genTime.Draw(t, "expires")}
	}),
	kindEmailCodeMissed: rapid.Just[Event](&EmailCodeMissed{}),
	kindEmailVerified: rapid.Custom(func(t *rapid.T) Event {
		return &EmailVerified{Email: text(t)}
	}),
	kindRecoveryRequested: rapid.Custom(func(t *rapid.T) Event {
		return &RecoveryRequested{Until: genTime.Draw(t, "until"), Cancel: text(t)}
	}),
	kindRecoveryReminded:  rapid.Just[Event](&RecoveryReminded{}),
	kindRecoveryCancelled: rapid.Custom(func(t *rapid.T) Event { return &RecoveryCancelled{By: text(t)} }),
	kindChainAdvanced: rapid.Custom(func(t *rapid.T) Event {
		return &ChainAdvanced{
			First: genHeight.Draw(t, "first"), Time: genTime.Draw(t, "time"),
			Hashes: rapid.SliceOfN(genChainHash, 1, 5).Draw(t, "hashes"),
		}
	}),
	kindModeSet: rapid.Custom(func(t *rapid.T) Event {
		return &ModeSet{Mode: rapid.SampledFrom([]Mode{DemoMode, RealMode}).Draw(t, "mode")}
	}),
	kindNetworkSet: rapid.Custom(func(t *rapid.T) Event {
		return &NetworkSet{Network: text(t), Genesis: genChainHash.Draw(t, "genesis")}
	}),
	kindExtendedKeyAdded: rapid.Custom(func(t *rapid.T) Event {
		e := &ExtendedKeyAdded{
			Text:     rapid.StringN(0, 40, maxExtendedKey).Draw(t, "text"),
			External: number(t), Change: number(t), By: text(t),
		}
		fill(t, e.Fingerprint[:])
		return e
	}),
	kindTermsAgreed: rapid.Custom(func(t *rapid.T) Event { return &TermsAgreed{N: number(t), Terms: genTerms.Draw(t, "terms")} }),
	kindOutputsAnswered: rapid.Custom(func(t *rapid.T) Event {
		return &OutputsAnswered{N: number(t), Amount: money(t), Outs: outpoints(t)}
	}),
	kindCreditBacked: rapid.Custom(func(t *rapid.T) Event { return &CreditBacked{N: number(t), Outs: outpoints(t)} }),
	kindPayoutExported: rapid.Custom(func(t *rapid.T) Event {
		at := genTime.Draw(t, "at")
		return &PayoutExported{Payout: Payout{
			Number: number(t), Sales: rapid.SliceOfN(genTransactionID, 1, 3).Draw(t, "sales"), Coins: rapid.SliceOfN(genPayoutCoin, 1, 3).Draw(t, "coins"),
			Fee: money(t), Change: money(t), ChangeIndex: number(t), TxID: genChainHash.Draw(t, "txid"),
			Unsigned: rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "tx"), ExportedAt: at, ChangedAt: at, By: text(t),
		}}
	}),
	kindPayoutSigned: rapid.Custom(func(t *rapid.T) Event {
		return &PayoutSigned{Number: number(t), Tx: rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "tx"), By: text(t)}
	}),
	kindPayoutMined: rapid.Custom(func(t *rapid.T) Event {
		return &PayoutMined{Number: number(t), Height: genHeight.Draw(t, "height"), Block: genChainHash.Draw(t, "block")}
	}),
	kindPayoutUnmined: rapid.Custom(func(t *rapid.T) Event {
		return &PayoutUnmined{Number: number(t), Height: genHeight.Draw(t, "height")}
	}),
	kindPayoutConfirmed: rapid.Custom(func(t *rapid.T) Event { return &PayoutConfirmed{Number: number(t)} }),
	kindPayoutCancelled: rapid.Custom(func(t *rapid.T) Event {
		return &PayoutCancelled{Number: number(t), SpentBy: genChainHash.Draw(t, "spent by"), By: text(t), Reason: text(t)}
	}),
	kindPayoutTxSeen: rapid.Custom(func(t *rapid.T) Event {
		return &PayoutTxSeen{Tx: PayoutTx{
			ID: genChainHash.Draw(t, "id"), Payout: number(t), Spends: outpoints(t), Pays: rapid.SliceOfN(genPaidSale, 1, 3).Draw(t, "pays"),
			Change: rapid.SliceOfN(genPayoutCoin, 1, 3).Draw(t, "change"), Fee: money(t), SeenAt: genTime.Draw(t, "at"),
		}}
	}),
	kindPayoutReplaced: rapid.Custom(func(t *rapid.T) Event {
		return &PayoutReplaced{Number: number(t), TxID: genChainHash.Draw(t, "id"), Tx: rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "tx"), By: text(t)}
	}),
	kindPayoutTxMined: rapid.Custom(func(t *rapid.T) Event {
		return &PayoutTxMined{TxID: genChainHash.Draw(t, "id"), Height: genHeight.Draw(t, "height"), Block: genChainHash.Draw(t, "block")}
	}),
	kindPayoutTxUnmined: rapid.Custom(func(t *rapid.T) Event {
		return &PayoutTxUnmined{TxID: genChainHash.Draw(t, "id"), Height: genHeight.Draw(t, "height")}
	}),
	kindPayoutTxConfirmed: rapid.Custom(func(t *rapid.T) Event { return &PayoutTxConfirmed{TxID: genChainHash.Draw(t, "id")} }),
	kindPayoutUnspent:     rapid.Custom(func(t *rapid.T) Event { return &PayoutUnspent{Number: number(t)} }),
	kindSaleClaimed:       rapid.Custom(func(t *rapid.T) Event { return &SaleClaimed{N: number(t), Payout: number(t)} }),
	kindSaleFreed:         rapid.Custom(func(t *rapid.T) Event { return &SaleFreed{N: number(t)} }),
	kindRefundSettled: rapid.Custom(func(t *rapid.T) Event {
		return &RefundSettled{N: number(t), Out: genOutpoint.Draw(t, "out"), BTC: money(t), TxHash: text(t), By: text(t), Reason: text(t)}
	}),
}

var (
	genTransactionID = rapid.Custom(func(t *rapid.T) TransactionID {
		return TransactionID{genUserID.Draw(t, "user"), number(t)}
	})
	genPaidSale   = rapid.Custom(func(t *rapid.T) PaidSale { return PaidSale{genTransactionID.Draw(t, "sale"), number(t)} })
	genPayoutCoin = rapid.Custom(func(t *rapid.T) PayoutCoin {
		return PayoutCoin{Out: genOutpoint.Draw(t, "out"), BTC: money(t), Change: rapid.Bool().Draw(t, "change"), Index: number(t)}
	})
)

var genTerms = rapid.Custom(func(t *rapid.T) PaymentTerms {
	rule := rapid.SampledFrom([]Rule{RuleRefund, RuleProportion})
	return PaymentTerms{
		Confirmations: rapid.Int32Min(1).Draw(t, "confirmations"), TolerancePPM: rapid.Int64Range(0, 1_000_000).Draw(t, "tolerance"),
		Underpaid: rule.Draw(t, "underpaid"), Overpaid: rule.Draw(t, "overpaid"), Late: rule.Draw(t, "late"),
	}
})

// eventKinds are the kinds that there are.
var eventKinds = slices.Sorted(maps.Keys(genEvents))

var genChannel = rapid.SampledFrom([]Channel{ChannelWebhook, ChannelMail})

var genAddressKind = rapid.SampledFrom([]AddressKind{AddressAITBC, AddressBitcoin})

var genStatus = rapid.SampledFrom([]Status{Active, Inactive, Suspended})

// genRecord draws a record of any events; it need not follow from any account.
var genRecord = rapid.Custom(func(t *rapid.T) *Record {
	r := &Record{
		User: genUserID.Draw(t, "user"),
		Seq:  rapid.Uint64().Draw(t, "seq"),
		At:   genTime.Draw(t, "at"),
	}
	for range rapid.IntRange(0, maxRecordEvent).Draw(t, "events") {
		k := rapid.SampledFrom(eventKinds).Draw(t, "kind")
		r.Events = append(r.Events, genEvents[k].Draw(t, "event"))
	}
	return r
})

// A command's amount is chosen close to where the rules change.

// amountOut draws an amount to take out: mostly one that is there, sometimes one
// unit too much.
func amountOut(t *rapid.T, a *Account) Money {
	available := a.Available()
	return max(1, Money(rapid.OneOf(
		rapid.Int64Range(1, max(1, int64(available/4))),
		rapid.Int64Range(1, 1000),
		rapid.SampledFrom([]int64{int64(available), int64(available) - 1, int64(available/2) + 1, int64(MaxMoney)}),
		rapid.Just(int64(min(available, MaxMoney-1))+1),
	).Draw(t, "amount")))
}

// amountIn draws an amount to bring in.
func amountIn(t *rapid.T, a *Account) Money {
	room := int64(MaxMoney - a.Balance)
	return max(1, Money(rapid.OneOf(
		rapid.Int64Range(1, 1_000_000), rapid.Int64Range(1, 1_000_000), rapid.Int64Range(1, 1_000_000),
		rapid.SampledFrom([]int64{1, int64(Unit), int64(MaxMoney), room, min(room, int64(MaxMoney)-1) + 1}),
	).Draw(t, "amount")))
}

// step draws how far the clock moves: seldom backwards, sometimes by days, and
// sometimes to just before, at and after the end of what lasts 24 hours.
func step(t *rapid.T) Time {
	return rapid.SampledFrom([]Time{
		0, 0, 1, Time(time.Millisecond / time.Microsecond), Time(time.Second / time.Microsecond),
		Time(time.Minute / time.Microsecond), Time(time.Hour / time.Microsecond),
		Time(KeyLifetime/time.Microsecond) - 1, Time(KeyLifetime / time.Microsecond), Time(KeyLifetime/time.Microsecond) + 1,
		Time(50 * time.Hour / time.Microsecond),
		-1, -Time(time.Minute / time.Microsecond), -Time(30 * time.Hour / time.Microsecond),
	}).Draw(t, "step")
}
