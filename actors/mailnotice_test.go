package actors_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/mail"
	"github.com/aitbc/exchange/actors/mail/mailtest"
	"github.com/aitbc/exchange/actors/secondfactor"
	"github.com/aitbc/exchange/actors/secondfactor/factortest"
)

const (
	anna           = "anna@mail.example"
	bitcoinAddress = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"
)

// mailing has an exchange write to its users by server.
func mailing(t *testing.T, server *mailtest.Server) func(*setup) {
	t.Helper()
	sender, err := mail.NewSender(mail.SenderConfig{
		Host: "127.0.0.1", Port: server.Port, Security: mail.Clear, From: "no-reply@exchange.example", Exchange: "AITBC", Site: "https://exchange.example",
		Now: time.Now, Timeout: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(s *setup) { s.actors.Mail = sender }
}

var codePattern = regexp.MustCompile(`(?m)^[0-9A-Z]{5}-[0-9A-Z]{5}$`)

// verify gives the session's user an address, and verifies it by the code in the mail.
func (w *world) verify(s *actors.Session, server *mailtest.Server, email string) {
	w.t.Helper()
	if _, err := w.ChangeProfile(s, email, ""); err != nil {
		w.t.Fatal(err)
	}
	n := len(server.Messages())
	if _, _, err := w.SendEmailCode(s); err != nil {
		w.t.Fatal(err)
	}
	for _, m := range server.Wait(n + 1)[n:] { // a notice to the address before may come first
		if m.To == email {
			if _, err := w.ConfirmEmail(s, codePattern.FindString(m.Text)); err != nil {
				w.t.Fatal(err)
			}
			return
		}
	}
	w.t.Fatal("there is no code")
}

// mailed waits until no mail is open.
func (w *world) mailed() {
	w.t.Helper()
	deadline, tick := time.After(20*time.Second), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for w.NoticeStats(account.ChannelMail).Open > 0 {
		select {
		case <-tick.C:
		case <-deadline:
			w.t.Fatalf("mail is open: %+v", w.NoticeStats(account.ChannelMail))
		}
	}
}

func TestACodeByMailVerifiesItsAddress(t *testing.T) {
	server := mailtest.Start(t, mailtest.Clear)
	w := start(t, &memoryLog{}, mailing(t, server))
	s, token := w.login("aitbc1wallet_a")
	if _, _, err := w.SendEmailCode(s); codeOf(err) != account.CodeNoEmail {
		t.Errorf("a code to %s: %v", s.State.Email, err)
	}
	if _, err := w.ChangeProfile(s, anna, "anna"); err != nil {
		t.Fatal(err)
	}
	email, until, err := w.SendEmailCode(s)
	if err != nil || email != anna || time.Until(until.Std()) < 29*time.Minute {
		t.Errorf("%s until %s, %v", email, until, err)
	}
	m := server.Messages()[0]
	if m.To != anna || m.Subject != "AITBC: confirm your e-mail address" || !strings.Contains(m.Text, "Hello anna,") {
		t.Errorf("%+v", m)
	}
	code := codePattern.FindString(m.Text)
	for _, wrong := range []string{"00000-00000", code[:10], code + "0", ""} {
		if _, err := w.ConfirmEmail(s, wrong); codeOf(err) != account.CodeWrongCode {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	// As somebody types it.
	state, err := w.ConfirmEmail(s, " "+strings.ToLower(strings.ReplaceAll(code, "-", " ")))
	if err != nil || state.VerifiedEmail() != anna {
		t.Fatalf("%v, %+v", err, state)
	}
	log := w.log
	w.stop()
	w = start(t, log)
	if w.session(token).State.VerifiedEmail() != anna {
		t.Error("after a restart the address is not verified")
	}
	if _, _, err := w.SendEmailCode(s); !errors.Is(err, actors.ErrMailOff) {
		t.Errorf("without a mail server: %v", err)
	}
	for _, frame := range log.frames {
		if strings.Contains(string(frame), code) || strings.Contains(string(frame), strings.ReplaceAll(code, "-", "")) {
			t.Error("the code is in the log")
		}
	}
}

func TestOfManyGuessesAtOnceFewCount(t *testing.T) {
	server := mailtest.Start(t, mailtest.Clear)
	w := start(t, &memoryLog{}, mailing(t, server))
	s, _ := w.login("aitbc1wallet_a")
	if _, err := w.ChangeProfile(s, anna, ""); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.SendEmailCode(s); err != nil {
		t.Fatal(err)
	}
	code := codePattern.FindString(server.Messages()[0].Text)
	together(50, func(i int) {
		if _, err := w.ConfirmEmail(s, fmt.Sprint("guess", i)); codeOf(err) != account.CodeWrongCode {
			t.Error(err)
		}
	})
	if n := w.state(s.UserID()).Contact.WrongCodes; n != account.MaxWrongCodes {
		t.Errorf("%d tries count", n)
	}
	if _, err := w.ConfirmEmail(s, code); codeOf(err) != account.CodeWrongCode {
		t.Errorf("the code after too many tries: %v", err)
	}
}

func TestACodeThatCannotBeSentIsAnErrorAndCounts(t *testing.T) {
	server := mailtest.Start(t, mailtest.Clear)
	w := start(t, &memoryLog{}, mailing(t, server))
	s, _ := w.login("aitbc1wallet_a")
	if _, err := w.ChangeProfile(s, anna, ""); err != nil {
		t.Fatal(err)
	}
	server.Down()
	if _, _, err := w.SendEmailCode(s); !errors.Is(err, actors.ErrMailDown) {
		t.Errorf("no server: %v", err)
	}
	server.Up()
	if _, _, err := w.SendEmailCode(s); codeOf(err) != account.CodeTooManyEmails {
		t.Errorf("at once again: %v", err)
	}
}

func TestAUserIsWrittenToOfWhatAThiefWouldDo(t *testing.T) {
	server := mailtest.Start(t, mailtest.Clear)
	r := newReceiver(t)
	w := start(t, &memoryLog{}, mailing(t, server), r.telling)
	s := w.funded("aitbc1wallet_a", 5000*account.Unit)
	other := w.funded("aitbc1wallet_b", 10*account.Unit)
	w.verify(s, server, anna)
	if _, err := w.ChangeProfile(other, "bert@mail.example", ""); err != nil {
		t.Fatal(err)
	}
	w.withdraw(other) // its address is not verified: nothing is written
	if _, _, err := w.LoginFrom("aitbc1wallet_a", "192.0.2.7"); err != nil {
		t.Fatal(err)
	}
	id := w.withdraw(s)
	if _, err := w.CompleteTransaction(id, "", "ops", "", nil); err != nil {
		t.Fatal(err)
	}
	sale, err := w.Sell(s, 1000*account.Unit, bitcoinAddress, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.CompleteTransaction(sale.ID(), "", "ops", "", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ChangeProfile(s, "eve@evil.example", ""); err != nil {
		t.Fatal(err)
	}
	w.withdraw(s) // the new address is not verified
	w.mailed()
	w.settled()
	messages := server.Wait(7)
	want := []struct{ subject, text string }{
		{"AITBC: confirm your e-mail address", ""},
		{"AITBC: new login", "from 192.0.2.7"},
		{"AITBC: withdrawal of 1 AITBC was asked for", aitbcAddress},
		{"AITBC: withdrawal of 1 AITBC is completed", aitbcAddress},
		{"AITBC: sale of 1000 AITBC was asked for", bitcoinAddress},
		{"AITBC: sale of 1000 AITBC is completed", bitcoinAddress},
		{"AITBC: your e-mail address was changed", "do not come here any more"},
	}
	if len(messages) != len(want) {
		t.Fatalf("%d messages, want %d", len(messages), len(want))
	}
	for i, m := range messages {
		if m.Subject != want[i].subject || !strings.Contains(m.Text, want[i].text) || m.To != anna || strings.Contains(m.Text, "evil") {
			t.Errorf("message %d is to %s: %s\n%s", i+1, m.To, m.Subject, m.Text)
		}
	}
	if got := r.events(6); len(got) != 6 { // both channels at once
		t.Errorf("the webhook got %v", got)
	}
}

func TestMailOutlivesAServerThatIsDownAndAStop(t *testing.T) {
	server := mailtest.Start(t, mailtest.Clear)
	log := &memoryLog{}
	w := start(t, log, mailing(t, server))
	s := w.funded("aitbc1wallet_a", 50*account.Unit)
	w.verify(s, server, anna)
	server.Down()
	for range 3 {
		w.withdraw(s)
	}
	deadline := time.After(20 * time.Second)
	for w.NoticeStats(account.ChannelMail).Failed == 0 {
		select {
		case <-deadline:
			t.Fatal("nothing is tried")
		case <-time.After(time.Millisecond):
		}
	}
	if st := w.NoticeStats(account.ChannelMail); st.Open != 3 {
		t.Errorf("%+v", st)
	}
	w.stop()
	server.Up()
	w = start(t, log, mailing(t, server))
	w.mailed()
	messages := server.Wait(4)
	if len(messages) != 4 {
		t.Errorf("%d messages", len(messages))
	}
	seen := map[string]bool{}
	for i, m := range messages[1:] {
		if want := fmt.Sprintf("<%s@exchange.example>", account.NoticeID{User: s.UserID(), N: uint32(i + 1)}); m.Header.Get("Message-Id") != want {
			t.Errorf("message %d is %s, want %s", i+1, m.Header.Get("Message-Id"), want)
		}
		seen[m.Header.Get("Message-Id")] = true
	}
	if len(seen) != 3 {
		t.Errorf("the ids are %v", seen)
	}

	// What the server rejects is given up at once, and holds up nothing.
	server.Refuse(&smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such user"})
	w.withdraw(newSession(w, "aitbc1wallet_a")) // a login and a withdrawal
	w.mailed()
	if st := w.NoticeStats(account.ChannelMail); st.GivenUp != 2 || st.Delivered != 3 {
		t.Errorf("%+v", st)
	}
	if n := w.state(s.UserID()).Outbox.Notice(5); n == nil || n.State != account.NoticeFailed || !strings.Contains(n.Problem, "no such user") {
		t.Errorf("%+v", n)
	}
}

// withSecrets lets users enrol authenticator apps.
func withSecrets(t *testing.T) func(*setup) {
	t.Helper()
	secrets, err := secondfactor.OpenSecrets(filepath.Join(t.TempDir(), "secrets.key"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := secrets.Make(); err != nil {
		t.Fatal(err)
	}
	return func(s *setup) { s.actors.Factors.Secrets = secrets }
}

// enrolled enrols an authenticator app, and returns the session that goes on.
func (w *world) enrolled(s *actors.Session) *actors.Session {
	w.t.Helper()
	secret, _, err := w.BeginTOTP(s)
	if err != nil {
		w.t.Fatal(err)
	}
	rotated, err := w.ConfirmTOTP(s, factortest.Code(w.t, secret, time.Now()))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.session(rotated.Token)
}

func TestAUserIsWrittenToWhenTheirFactorsChange(t *testing.T) {
	server := mailtest.Start(t, mailtest.Clear)
	w := start(t, &memoryLog{}, mailing(t, server), withSecrets(t))
	s, _ := w.login("aitbc1wallet_a")
	w.verify(s, server, anna)
	s = w.enrolled(s)
	if _, err := w.NewRecoveryCodes(s); err != nil {
		t.Fatal(err)
	}
	if _, err := w.RemoveTOTP(s); err != nil {
		t.Fatal(err)
	}
	w.mailed()
	messages := server.Messages()[1:]
	want := []string{"AITBC: an authenticator app was enrolled", "AITBC: new recovery codes were made", "AITBC: the authenticator app was removed"}
	if len(messages) != len(want) {
		t.Fatalf("%d messages, want %d", len(messages), len(want))
	}
	for i, m := range messages {
		if m.Subject != want[i] || m.To != anna {
			t.Errorf("message %d is %q to %s", i+1, m.Subject, m.To)
		}
	}
}

func TestAUserIsWrittenToWhileANewAddressCoolsOff(t *testing.T) {
	server := mailtest.Start(t, mailtest.Clear)
	w := start(t, &memoryLog{}, mailing(t, server), func(s *setup) { s.actors.Terms.AddressCoolingOff = 24 * time.Hour })
	s, _ := w.login("aitbc1wallet_a")
	w.verify(s, server, anna)
	known, err := w.AddAddress(s, "the thief's", "aitbc_elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.AddAddress(s, "the thief's", "aitbc_elsewhere"); err != nil { // which is no news
		t.Fatal(err)
	}
	w.mailed()
	messages := server.Messages()[1:]
	usable := known.UsableAt.Std().Format("2 January 2006, 15:04 UTC")
	if len(messages) != 1 || messages[0].To != anna || messages[0].Subject != "AITBC: new withdrawal address" ||
		!strings.Contains(messages[0].Text, "aitbc_elsewhere") || !strings.Contains(messages[0].Text, usable) {
		t.Errorf("the messages are %+v, want one of the address and %s", messages, usable)
	}
}

func TestAUserIsWrittenToWhenTheirAddressBookChanges(t *testing.T) {
	server := mailtest.Start(t, mailtest.Clear)
	w := start(t, &memoryLog{}, mailing(t, server))
	s, _ := w.login("aitbc1wallet_a")
	w.verify(s, server, anna)
	known, err := w.AddAddress(s, "savings", aitbcAddress)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.RemoveAddress(s, known.N); err != nil {
		t.Fatal(err)
	}
	w.mailed()
	messages := server.Messages()[1:]
	want := []string{"AITBC: new withdrawal address", "AITBC: withdrawal address removed"}
	if len(messages) != len(want) {
		t.Fatalf("%d messages, want %d", len(messages), len(want))
	}
	for i, m := range messages {
		if m.Subject != want[i] || m.To != anna || !strings.Contains(m.Text, aitbcAddress) {
			t.Errorf("message %d is %q to %s\n%s", i+1, m.Subject, m.To, m.Text)
		}
	}
}
