package walletproof

import (
	"errors"
	"fmt"
)

// ErrRefused is the one answer to every proof that fails, so that who tries does
// not learn how near they came.
var ErrRefused = errors.New("the signature does not prove that this wallet is yours: ask for a new nonce and sign its message again")

// ErrBusy means that more logins succeeded within a nonce's lifetime than Config
// allows for. Later ones are refused rather than an earlier one forgotten.
var ErrBusy = errors.New("too many logins at once")

// ErrUnprovable is the refusal of a challenge for what is no address of an Ethereum
// or Bitcoin wallet of the configured network.
var ErrUnprovable = errors.New("this is not an address that a signature can prove")

// refusal is an ErrRefused that tells our own log why.
type refusal struct{ reason string }

func (r *refusal) Error() string        { return ErrRefused.Error() }
func (r *refusal) Is(target error) bool { return target == ErrRefused }

func refuse(format string, args ...any) error {
	return &refusal{fmt.Sprintf(format, args...)}
}

// Reason returns why a proof was refused, for the log and never for the client. It
// quotes what the client sent.
func Reason(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason
	}
	return ""
}
