package actors

import (
	"encoding/hex"
	"strconv"

	"github.com/aitbc/exchange/actors/account"
)

// Which commands are acts that the audit log has, and which events show that they were
// done. Both name an act alike, so that exchange verify can hold the log of events
// against the audit log.

// operatorActor names an operator, and "" for who is none: the user, the chain or the
// clock.
func operatorActor(by string) string {
	switch by {
	case "", "chain", "clock":
		return ""
	}
	return "operator:" + by
}

func operatorAct(by, action, target, note string) Act {
	actor := operatorActor(by)
	if actor == "" {
		return Act{}
	}
	return Act{Actor: actor, Action: action, Target: target, Note: note}
}

func userTarget(id account.UserID) string { return "user:" + id.String() }

func transactionTarget(id account.UserID, n uint32) string {
	return "transaction:" + account.TransactionID{User: id, N: n}.String()
}

// userAct is what a user does to the security of their own account.
func userAct(id account.UserID, action, note string) Act {
	return Act{Actor: userTarget(id), Action: action, Target: userTarget(id), Note: note}
}

func payoutTarget(number uint32) string { return "payout:" + strconv.FormatUint(uint64(number), 10) }

func keyTarget(f account.KeyFingerprint) string { return "key:" + f.String() }
func copyTarget(id account.CopyID) string       { return "copy:" + hex.EncodeToString(id[:]) }

var statusActions = map[account.Status]string{
	account.Active: "user.reactivate", account.Inactive: "user.close", account.Suspended: "user.suspend",
}

// noteOf is a reason, after what it is the reason for.
func noteOf(what, reason string) string {
	if what == "" || reason == "" {
		return what + reason
	}
	return what + ": " + reason
}

// actOfCommand returns the act that a command is; without an action if it is none.
func actOfCommand(id account.UserID, command account.Command) Act {
	switch c := command.(type) {
	case *account.Deposit:
		return operatorAct(c.By, "user.deposit", userTarget(id), c.Amount.String()+" AITBC")
	case *account.Credit:
		return operatorAct(c.By, "user.credit", userTarget(id), noteOf(c.Amount.String()+" AITBC", c.Reason))
	case *account.Debit:
		return operatorAct(c.By, "user.debit", userTarget(id), noteOf(c.Amount.String()+" AITBC", c.Reason))
	case *account.SetStatus:
		return operatorAct(c.By, statusActions[c.Status], userTarget(id), c.Reason)
	case *account.Complete:
		return operatorAct(c.By, "transaction.complete", transactionTarget(id, c.N), noteOf(c.TxHash, c.Reason))
	case *account.Fail:
		return operatorAct(c.By, "transaction.fail", transactionTarget(id, c.N), c.Reason)
	case *account.LiftFreeze:
		return operatorAct(c.By, "transaction.lift-freeze", transactionTarget(id, c.N), c.Reason)
	case *account.ApproveWithdrawal:
		return operatorAct(c.By, "transaction.approve", transactionTarget(id, c.N), c.Reason)
	case *account.ResetFactors:
		return operatorAct(c.By, "user.reset-factors", userTarget(id), c.Reason)
	case *account.CancelRecovery:
		if c.By == "" {
			return userAct(id, "recovery.cancel", "")
		}
		return operatorAct(c.By, "recovery.cancel", userTarget(id), "")
	case *account.ConfirmRecovery:
		return userAct(id, "recovery.request", "")
	case *account.ExportPayout:
		return operatorAct(c.Payout.By, "payout.export", "payouts", "")
	case *account.SignPayout:
		return operatorAct(c.By, "payout.sign", payoutTarget(c.Number), "")
	case *account.ReplacePayout:
		return operatorAct(c.By, "payout.sign", payoutTarget(c.Number), "")
	case *account.CancelPayout:
		return operatorAct(c.By, "payout.cancel", payoutTarget(c.Number), c.Reason)
	case *account.MoveKey:
		return operatorAct(c.By, "key.move", keyTarget(c.Key.Fingerprint), "")
	case *account.SettleRefund:
		return operatorAct(c.By, "refund.settle", transactionTarget(id, c.N), noteOf(c.Out.String(), c.Reason))
	case *account.SettleUnassigned:
		return operatorAct(c.By, "unassigned-output.settle", "output:"+c.Out.String(), noteOf(c.TxHash, c.Reason))
	case *account.RestoreLog:
		return Act{Actor: "system", Action: "log.restore", Target: copyTarget(c.Copy)}
	case *account.ReplayNotice: // its event needs none: many may be replayed by one act
		return operatorAct(c.By, "notice.replay", "notice:"+account.NoticeID{User: id, N: c.N}.String(), "")
	case *account.AddAddress:
		return userAct(id, "address.add", noteOf(c.Address, c.Label))
	case *account.RemoveAddress:
		return userAct(id, "address.remove", "")
	case *account.EndOtherSessions:
		return userAct(id, "sessions.end-others", "")
	case *account.ChangeProfile:
		if c.Email != "" {
			return userAct(id, "email.change", "")
		}
	case *account.EnrolTOTP:
		return userAct(id, "totp.enrol", "")
	case *account.RemoveTOTP:
		return userAct(id, "totp.remove", "")
	case *account.AddPasskey:
		return userAct(id, "passkey.add", c.Name)
	case *account.RemovePasskey:
		return userAct(id, "passkey.remove", "")
	case *account.SetRecoveryCodes:
		return userAct(id, "recovery-codes.renew", "")
	case *account.StepUpByRecovery: // which is how an account is taken over whose owner has lost nothing
		return userAct(id, "recovery-code.use", "")
	}
	return Act{}
}

// ActOfEvent returns the act, without its note, that made an event of an account; no
// action if that needs no entry in the audit log.
func ActOfEvent(id account.UserID, event account.Event) Act {
	switch e := event.(type) {
	case *account.Deposited:
		return operatorAct(e.By, "user.deposit", userTarget(id), "")
	case *account.Credited:
		return operatorAct(e.By, "user.credit", userTarget(id), "")
	case *account.Debited:
		return operatorAct(e.By, "user.debit", userTarget(id), "")
	case *account.StatusChanged:
		return operatorAct(e.By, statusActions[e.Status], userTarget(id), "")
	case *account.TxCompleted:
		return operatorAct(e.By, "transaction.complete", transactionTarget(id, e.N), "")
	case *account.TxFailed:
		return operatorAct(e.By, "transaction.fail", transactionTarget(id, e.N), "")
	case *account.FreezeLifted:
		return operatorAct(e.By, "transaction.lift-freeze", transactionTarget(id, e.N), "")
	case *account.WithdrawalApproved:
		return operatorAct(e.By, "transaction.approve", transactionTarget(id, e.N), "")
	case *account.FactorsReset:
		return operatorAct(e.By, "user.reset-factors", userTarget(id), "")
	case *account.RecoveryCancelled: // the user's own may come with another act
		return operatorAct(e.By, "recovery.cancel", userTarget(id), "")
	case *account.RecoveryRequested:
		return userAct(id, "recovery.request", "")
	case *account.PayoutExported:
		return operatorAct(e.Payout.By, "payout.export", "payouts", "")
	case *account.PayoutSigned:
		return operatorAct(e.By, "payout.sign", payoutTarget(e.Number), "")
	case *account.PayoutReplaced:
		return operatorAct(e.By, "payout.sign", payoutTarget(e.Number), "")
	case *account.PayoutCancelled:
		return operatorAct(e.By, "payout.cancel", payoutTarget(e.Number), "")
	case *account.ExtendedKeyAdded: // the first is nobody's act
		return operatorAct(e.By, "key.move", keyTarget(e.Fingerprint), "")
	case *account.RefundSettled:
		return operatorAct(e.By, "refund.settle", transactionTarget(id, e.N), "")
	case *account.UnassignedOutputSettled:
		return operatorAct(e.By, "unassigned-output.settle", "output:"+e.Out.String(), "")
	case *account.LogRestored:
		return Act{Actor: "system", Action: "log.restore", Target: copyTarget(e.Copy)}
	case *account.AddressAdded:
		return userAct(id, "address.add", "")
	case *account.AddressRemoved:
		return userAct(id, "address.remove", "")
	case *account.TOTPEnrolled:
		return userAct(id, "totp.enrol", "")
	case *account.TOTPRemoved:
		return userAct(id, "totp.remove", "")
	case *account.PasskeyAdded:
		return userAct(id, "passkey.add", "")
	case *account.PasskeyRemoved:
		return userAct(id, "passkey.remove", "")
	case *account.RecoveryCodeUsed:
		return userAct(id, "recovery-code.use", "")
	}
	return Act{}
}
