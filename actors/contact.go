package actors

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/mail"
)

// Errors of codes by mail.
var (
	// ErrMailOff: there is no mail server.
	ErrMailOff = errors.New("no mail server is configured")
	// ErrMailDown: the mail server did not take a message.
	ErrMailDown = errors.New("the message could not be sent")
)

const (
	emailCodeLifetime = 30 * time.Minute
	emailCodePatience = 8 * time.Second // with the mail server, while a request waits
	maxCodesAtOnce    = 8               // under way to the mail server
)

// A code is ten characters that can't be taken for one another, 50 bits in all: so many
// that the hash in a stolen log gives none away while it holds.
const (
	codeAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	codeLength   = 10
)

// newCode makes a code, with a hyphen in its middle.
func newCode(random io.Reader) (string, error) {
	var b [codeLength]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("random number for a code: %w", err)
	}
	for i := range b {
		b[i] = codeAlphabet[int(b[i])%len(codeAlphabet)]
	}
	return string(b[:codeLength/2]) + "-" + string(b[codeLength/2:]), nil
}

// hashCode is what is kept of a code, however it was typed.
func hashCode(id account.UserID, code string) account.Hash {
	typed := strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(code))
	return sha256.Sum256(append(id[:], "e-mail code\x00"+typed...))
}

// SendEmailCode sends a code to the address of the session's user, and says until when
// it holds. The message is not kept: where it could not be sent, the user asks again.
func (x *Exchange) SendEmailCode(s *Session) (email string, until account.Time, err error) {
	if x.cfg.Mail == nil {
		return "", 0, ErrMailOff
	}
	select {
	case x.codes <- struct{}{}:
		defer func() { <-x.codes }()
	default:
		return "", 0, ErrOverloaded
	}
	code, err := newCode(x.cfg.Random)
	if err != nil {
		return "", 0, err
	}
	receipt, err := x.do(s.user, &account.SendEmailCode{Code: hashCode(s.user.id, code), Lifetime: emailCodeLifetime}, nil)
	if err != nil {
		return "", 0, err
	}
	contact := receipt.State.Contact
	email, until = contact.CodeFor, contact.CodeExpires
	ctx, cancel := context.WithTimeout(context.Background(), emailCodePatience)
	defer cancel()
	err = x.cfg.Mail.Send(ctx, &mail.Message{
		ID: fmt.Sprintf("%s-c%d", s.user.id, receipt.State.Seq), To: email, Kind: mail.VerifyAddress,
		Fields: mail.Fields{Username: receipt.State.Username, Code: code, Until: until.Std()},
	})
	if err != nil {
		x.log.Warn("a code could not be sent", slog.String("user_id", s.user.id.String()), slog.String("error", problemText(err)))
		return "", 0, ErrMailDown
	}
	return email, until, nil
}

// ConfirmEmail verifies the address of the session's user by the code that was sent to
// it. A wrong one is an *account.Error.
func (x *Exchange) ConfirmEmail(s *Session, code string) (*account.State, error) {
	receipt, err := x.do(s.user, &account.ConfirmEmail{Code: hashCode(s.user.id, code)}, nil)
	if err != nil {
		return nil, err
	}
	if receipt.State.VerifiedEmail() != receipt.State.Email {
		return nil, &account.Error{Code: account.CodeWrongCode, Field: "code", Message: "this is not the code that was sent"}
	}
	return receipt.State, nil
}
