package actors

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/delivery"
	"github.com/aitbc/exchange/actors/mail"
)

// The rule by which mail is tried again: after a day it is of no use.
var mailRule = delivery.Config{Retry: time.Minute, MaxRetry: time.Hour, GiveUp: 24 * time.Hour, Parallel: 4}

// mailBody is the body of a notice to a user: what its message is filled in with. It
// holds the address, which may be another when the message is sent.
type mailBody struct {
	To       string `json:"to"`
	Username string `json:"username"`
	Client   string `json:"client,omitzero"`
	What     string `json:"what,omitzero"`
	Amount   string `json:"amount,omitzero"`
	Address  string `json:"address,omitzero"` // where money goes
	Since    string `json:"since,omitzero"`   // when what it is about began, if that was not the act itself
	Until    string `json:"until,omitzero"`
	Code     string `json:"code,omitzero"` // to stop it
}

// text is the body of a notice. Its number is the notice's own matter.
func (b mailBody) text(uint32) string {
	text, err := json.Marshal(&b)
	if err != nil {
		panic(err) // strings that came in as UTF-8
	}
	return string(text)
}

// isMailed reports whether a user is written to because of e.
func isMailed(e account.Event) bool {
	switch e.(type) {
	case *account.LoggedIn, *account.WithdrawalRequested, *account.SaleRequested, *account.TxCompleted, *account.ProfileChanged,
		*account.TOTPEnrolled, *account.TOTPRemoved, *account.PasskeyAdded, *account.PasskeyRemoved,
		*account.RecoveryCodesSet, *account.RecoveryCodeUsed, *account.FactorsReset,
		*account.RecoveryRequested, *account.RecoveryReminded, *account.RecoveryCancelled,
		*account.AddressAdded, *account.AddressRemoved:
		return true
	}
	return false
}

// factorChange says what e did to a user's factors, "" if that was something else.
func factorChange(e account.Event) string {
	switch e := e.(type) {
	case *account.TOTPEnrolled:
		return "an authenticator app was enrolled"
	case *account.TOTPRemoved:
		return "the authenticator app was removed"
	case *account.PasskeyAdded:
		return "the passkey \"" + e.Name + "\" was added"
	case *account.PasskeyRemoved:
		return "a passkey was removed"
	case *account.RecoveryCodesSet:
		return "new recovery codes were made"
	case *account.RecoveryCodeUsed:
		return "a recovery code was used"
	case *account.FactorsReset:
		return "all second factors were removed"
	case *account.RecoveryCancelled:
		return "the removal of your second factor was stopped"
	}
	return ""
}

// mailOf returns what a user is written because of e, which command came to; false
// where there is nothing to write. before is the account's state before the command,
// and state the one after e.
func mailOf(e account.Event, command account.Command, before, state *account.State) (kind mail.Kind, b mailBody, ok bool) {
	b = mailBody{To: before.VerifiedEmail(), Username: state.Username}
	if b.What = factorChange(e); b.What != "" {
		// With the first factor come the first codes, which are no news of their own.
		_, codes := e.(*account.RecoveryCodesSet)
		return mail.FactorChanged, b, !codes || before.Factors != nil
	}
	n := state.History.Last()
	switch e := e.(type) {
	case *account.LoggedIn:
		if login, is := command.(*account.Login); is {
			b.Client = login.Client
		}
		return mail.NewLogin, b, true
	case *account.RecoveryRequested, *account.RecoveryReminded:
		r := state.Contact.Recovery
		b.Since, b.Until, b.Code = r.RequestedAt.String(), r.Until.String(), r.Cancel
		return mail.RecoveryRequested, b, true
	case *account.AddressAdded:
		b.Address, b.Until = e.Address, e.UsableAt.String()
		return mail.AddressAdded, b, true
	case *account.AddressRemoved:
		for _, known := range before.AddressBook.Addresses {
			if known.N == e.N {
				b.Address = known.Address
			}
		}
		return mail.AddressRemoved, b, true
	case *account.ProfileChanged:
		return mail.AddressChanged, b, state.VerifiedEmail() != b.To
	case *account.WithdrawalRequested, *account.SaleRequested:
		kind = mail.PayoutRequested
	case *account.TxCompleted:
		kind, n = mail.PayoutCompleted, e.N
	default:
		panic(fmt.Sprintf("actors: there is nothing to write of a %T", e))
	}
	t, _ := state.History.At(n)
	if t.Type == account.TypeBuy {
		return kind, b, false
	}
	b.What, b.Amount, b.Address = nouns[t.Type], t.Amount.String()+" AITBC", t.Detail.To
	return kind, b, true
}

// sendMail sends a notice of the mail channel once.
func sendMail(ctx context.Context, sender *mail.Sender, id account.NoticeID, n *account.Notice) delivery.Result {
	var b mailBody
	if err := json.Unmarshal([]byte(n.Body), &b); err != nil {
		return delivery.Result{Final: true, Problem: problemText(err)}
	}
	m := &mail.Message{ID: id.String(), To: b.To, Kind: mail.Kind(n.Name), Fields: mail.Fields{
		Username: b.Username, At: n.At.Std(), Client: b.Client, What: b.What, Amount: b.Amount, To: b.Address, Code: b.Code,
	}}
	if since, err := time.Parse(time.RFC3339Nano, b.Since); err == nil { // else it is the act's time
		m.Fields.At = since
	}
	if until, err := time.Parse(time.RFC3339Nano, b.Until); err == nil { // else there is none
		m.Fields.Until = until
	}
	err := sender.Send(ctx, m)
	return delivery.Result{
		Delivered: err == nil, Problem: problemText(err),
		Final: errors.Is(err, mail.ErrRejected) || errors.Is(err, mail.ErrMessage),
	}
}
