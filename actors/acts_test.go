package actors

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aitbc/exchange/actors/account"
)

// auditedEvents has one of each event that says who of the operators it was, and the
// command that makes it.
var auditedEvents = map[string]struct {
	event   account.Event
	command account.Command
}{
	"ExtendedKeyAdded":  {&account.ExtendedKeyAdded{Fingerprint: account.KeyFingerprint{7}, By: "olga"}, &account.MoveKey{Key: account.ExtendedKey{Fingerprint: account.KeyFingerprint{7}}, By: "olga"}},
	"Deposited":         {&account.Deposited{By: "olga"}, &account.Deposit{By: "olga"}},
	"Credited":          {&account.Credited{By: "olga"}, &account.Credit{By: "olga"}},
	"Debited":           {&account.Debited{By: "olga"}, &account.Debit{By: "olga"}},
	"StatusChanged":     {&account.StatusChanged{Status: account.Suspended, By: "olga"}, &account.SetStatus{Status: account.Suspended, By: "olga"}},
	"TxCompleted":       {&account.TxCompleted{N: 3, By: "olga"}, &account.Complete{N: 3, By: "olga"}},
	"TxFailed":          {&account.TxFailed{N: 3, By: "olga"}, &account.Fail{N: 3, By: "olga"}},
	"FreezeLifted":      {&account.FreezeLifted{N: 3, By: "olga"}, &account.LiftFreeze{N: 3, By: "olga"}},
	"FactorsReset":      {&account.FactorsReset{By: "olga"}, &account.ResetFactors{By: "olga"}},
	"RecoveryCancelled": {&account.RecoveryCancelled{By: "olga"}, &account.CancelRecovery{By: "olga"}},
	"PayoutExported":    {&account.PayoutExported{Payout: account.Payout{By: "olga"}}, &account.ExportPayout{Payout: account.Payout{By: "olga"}}},
	"PayoutSigned":      {&account.PayoutSigned{Number: 3, By: "olga"}, &account.SignPayout{Number: 3, By: "olga"}},
	"PayoutCancelled":   {&account.PayoutCancelled{Number: 3, By: "olga"}, &account.CancelPayout{Number: 3, By: "olga"}},
	"RefundSettled":     {&account.RefundSettled{N: 3, By: "olga"}, &account.SettleRefund{N: 3, By: "olga"}},
	"UnassignedOutputSettled": {
		&account.UnassignedOutputSettled{Out: account.Outpoint{Index: 3}, By: "olga"}, &account.SettleUnassigned{Out: account.Outpoint{Index: 3}, By: "olga"},
	},
	"PayoutReplaced":     {&account.PayoutReplaced{Number: 3, By: "olga"}, &account.ReplacePayout{Number: 3, By: "olga"}},
	"WithdrawalApproved": {&account.WithdrawalApproved{N: 3, By: "olga"}, &account.ApproveWithdrawal{N: 3, By: "olga"}},
}

// withBy returns the types of package account that have a field By and a method.
func withBy(t *testing.T, method string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("account/*.go")
	if err != nil {
		t.Fatal(err)
	}
	fields, methods := map[string]bool{}, map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok {
					for _, f := range s.Fields.List {
						for _, name := range f.Names {
							fields[n.Name.Name] = fields[n.Name.Name] || name.Name == "By"
						}
					}
				}
			case *ast.FuncDecl:
				if n.Recv != nil && n.Name.Name == method {
					if star, ok := n.Recv.List[0].Type.(*ast.StarExpr); ok {
						methods[star.X.(*ast.Ident).Name] = true
					}
				}
			}
			return true
		})
	}
	both := map[string]bool{}
	for name := range methods {
		if fields[name] {
			both[name] = true
		}
	}
	return both
}

// Whoever adds an event or a command of operators is told here that it has to be in
// the audit log.
func TestEveryEventAndCommandOfOperatorsIsAnAct(t *testing.T) {
	id := account.UserID{7}
	events, commands := withBy(t, "kind"), withBy(t, "decide")
	if len(events) < 8 || len(commands) < 8 {
		t.Fatalf("the source has the events %v and the commands %v", events, commands)
	}
	for name, c := range auditedEvents {
		event, command := ActOfEvent(id, c.event), actOfCommand(id, c.command)
		command.Note = ""
		if event.Action == "" || event.Actor != "operator:olga" || event != command {
			t.Errorf("%s is the act %+v, its command %+v", name, event, command)
		}
		delete(events, name)
		delete(commands, reflect.TypeOf(c.command).Elem().Name())
	}
	delete(events, "NoticeReplayed") // which moves nothing, and many of which may be one act
	if act := actOfCommand(id, &account.ReplayNotice{N: 3, By: "olga"}); act.Action == "" {
		t.Error("replaying a notice is no act")
	}
	delete(commands, "ReplayNotice")
	delete(commands, "ClaimSale") // a part of exporting a payout
	for name := range events {
		t.Errorf("the event %s has no act", name)
	}
	for name := range commands {
		t.Errorf("the command %s has no act", name)
	}
	for _, by := range []string{"", "chain", "clock"} {
		if act := ActOfEvent(id, &account.TxCompleted{N: 3, By: by}); act != (Act{}) {
			t.Errorf("what %q did is %+v", by, act)
		}
	}
}

func TestWhatAUserDoesToTheirSecurityIsAnAct(t *testing.T) {
	id := account.UserID{7}
	for action, c := range map[string]struct {
		event   account.Event
		command account.Command
	}{
		"address.add":          {&account.AddressAdded{}, &account.AddAddress{}},
		"address.remove":       {&account.AddressRemoved{}, &account.RemoveAddress{}},
		"totp.enrol":           {&account.TOTPEnrolled{}, &account.EnrolTOTP{}},
		"totp.remove":          {&account.TOTPRemoved{}, &account.RemoveTOTP{}},
		"passkey.add":          {&account.PasskeyAdded{}, &account.AddPasskey{}},
		"passkey.remove":       {&account.PasskeyRemoved{}, &account.RemovePasskey{}},
		"recovery-code.use":    {&account.RecoveryCodeUsed{}, &account.StepUpByRecovery{}},
		"recovery-codes.renew": {nil, &account.SetRecoveryCodes{}}, // others come with a first factor
		"recovery.request":     {&account.RecoveryRequested{}, &account.ConfirmRecovery{}},
		"recovery.cancel":      {nil, &account.CancelRecovery{}},
		"sessions.end-others":  {nil, &account.EndOtherSessions{}}, // others end where factors change
		"email.change":         {nil, &account.ChangeProfile{Email: "x"}},
	} {
		want := Act{Actor: "user:" + id.String(), Action: action, Target: "user:" + id.String()}
		if got := actOfCommand(id, c.command); got != want {
			t.Errorf("the command of %s is %+v", action, got)
		}
		if c.event != nil {
			if got := ActOfEvent(id, c.event); got != want {
				t.Errorf("the event of %s is %+v", action, got)
			}
		}
	}
	for _, c := range []account.Command{&account.ChangeProfile{Username: "x"}, &account.Logout{}, &account.Deposit{}, &account.Withdraw{}} {
		if act := actOfCommand(id, c); act != (Act{}) {
			t.Errorf("%T is the act %+v", c, act)
		}
	}
}
