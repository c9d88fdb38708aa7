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

// typedCode is a code as it was drawn, without its hyphen, however it was typed.
func typedCode(code string) string {
	return strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(code))
}

// hashCode is what is kept of a code. One that was sent for something else is no use.
func hashCode(id account.UserID, use mail.Kind, code string) account.Hash {
	return sha256.Sum256(append(id[:], "e-mail code\x00"+string(use)+"\x00"+typedCode(code)...))
}

func wrongCode() error {
	return &account.Error{Code: account.CodeWrongCode, Field: "code", Message: "wrong code: use the one of the newest e-mail"}
}

// SendEmailCode sends a code to the address of the session's user, and says until when
// it holds.
func (x *Exchange) SendEmailCode(s *Session) (email string, until account.Time, err error) {
	return x.sendCode(s, mail.VerifyAddress, func(hash account.Hash) account.Command {
		return &account.SendEmailCode{Code: hash, Lifetime: emailCodeLifetime}
	})
}

// sendCode draws a code, makes its hash durable by a command, and sends it. The message
// is not kept: where it could not be sent, the user asks again.
func (x *Exchange) sendCode(s *Session, use mail.Kind, command func(account.Hash) account.Command) (email string, until account.Time, err error) {
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
	receipt, err := x.do(s.user, command(hashCode(s.user.id, use, code)), nil)
	if err != nil {
		return "", 0, err
	}
	contact := receipt.State.Contact
	email, until = contact.CodeFor, contact.CodeExpires
	ctx, cancel := context.WithTimeout(context.Background(), emailCodePatience)
	defer cancel()
	err = x.cfg.Mail.Send(ctx, &mail.Message{
		ID: fmt.Sprintf("%s-c%d", s.user.id, receipt.State.Seq), To: email, Kind: use,
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
	receipt, err := x.do(s.user, &account.ConfirmEmail{Code: hashCode(s.user.id, mail.VerifyAddress, code)}, nil)
	if err != nil {
		return nil, err
	}
	if receipt.State.VerifiedEmail() != receipt.State.Email {
		return nil, wrongCode()
	}
	return receipt.State, nil
}
