package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// errNotVerified is what verify ends with when the log was read, but is not what
// it must be. The report has said why.
var errNotVerified = errors.New("the log is NOT in order")

func verify(args []string, env func(string) string, stdout, _ io.Writer) error {
	dir := "./data"
	o := newOptions("verify", "Read the log of a stopped service, without changing anything: check every frame\nand record, rebuild every account, and prove from the events alone that no value\nwas made or lost.")
	o.text(&dir, "data", "directory of the log")
	if err := o.parse(args, env, stdout); err != nil {
		return err
	}
	v := newVerifier()
	report, err := persistence.Scan(dir, 0, v.add)
	if err != nil {
		return err
	}
	return v.report(report, stdout)
}

// verifier rebuilds every account beside a tally that knows the events alone.
type verifier struct {
	record   account.Record
	accounts map[account.UserID]*account.Account
	tally    account.Tally
}

func newVerifier() *verifier {
	return &verifier{accounts: make(map[account.UserID]*account.Account)}
}

func (v *verifier) add(p persistence.Position, encoded []byte) error {
	err := v.record.Decode(encoded)
	if err == nil {
		a := v.accounts[v.record.User]
		if a == nil {
			a = account.New(v.record.User)
			v.accounts[a.ID] = a
		}
		err = a.Apply(&v.record)
	}
	if err != nil {
		return fmt.Errorf("frame %d, record %d: %w", p.Frame, p.Record, err)
	}
	v.tally.Add(&v.record)
	return nil
}

// report prints what was found, and returns an error if it is not in order.
func (v *verifier) report(log persistence.ScanReport, w io.Writer) error {
	ids := make([]account.UserID, 0, len(v.accounts))
	for id := range v.accounts {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b account.UserID) int { return slices.Compare(a[:], b[:]) })

	var balances, held big.Int
	var transactions uint64
	var faults []string
	names := map[string]account.UserID{}
	hash := sha256.New()
	for _, id := range ids {
		a := v.accounts[id]
		balances.Add(&balances, big.NewInt(int64(a.Balance)))
		held.Add(&held, big.NewInt(int64(a.Held)))
		transactions += uint64(a.History.Len())
		sum := a.StateHash()
		hash.Write(sum[:])
		if a.Held < 0 || a.Balance < a.Held {
			faults = append(faults, fmt.Sprintf("user %s has a balance of %s and holds of %s", id, a.Balance, a.Held))
		}
		for _, name := range []string{"wallet " + a.Wallet, "email " + strings.ToLower(a.Email), "username " + strings.ToLower(a.Username)} {
			if other, taken := names[name]; taken {
				faults = append(faults, fmt.Sprintf("users %s and %s have the same %s", other, id, name))
			}
			names[name] = id
		}
	}
	if expected := v.tally.Balance(); expected.Cmp(&balances) != 0 {
		faults = append(faults, fmt.Sprintf("the balances are %s, the events say %s", amount(&balances), amount(expected)))
	}

	fmt.Fprintf(w, "log            %d frames, %d records, %d bytes in %d segments, epoch %d\n", log.Frames, log.Records, log.Bytes, log.Segments, log.LastEpoch)
	fmt.Fprintf(w, "accounts       %d with %d transactions\n", len(ids), transactions)
	fmt.Fprintf(w, "credits        %s AITBC\n", amount(&v.tally.Credits))
	fmt.Fprintf(w, "debits         %s AITBC\n", amount(&v.tally.Debits))
	fmt.Fprintf(w, "fees           %s AITBC\n", amount(&v.tally.Fees))
	fmt.Fprintf(w, "balances       %s AITBC, %s of it held\n", amount(&balances), amount(&held))
	fmt.Fprintf(w, "state hash     %s\n", hex.EncodeToString(hash.Sum(nil)))
	if t := log.TornTail; t != nil {
		fmt.Fprintf(w, "torn tail      %d bytes at offset %d of %s were never acknowledged; the next start cuts them off\n", t.Bytes, t.Offset, t.File)
	}
	for _, fault := range faults {
		fmt.Fprintf(w, "FAULT          %s\n", fault)
	}
	if len(faults) > 0 {
		return errNotVerified
	}
	fmt.Fprintln(w, "conserved      credits - debits - fees = balances")
	return nil
}

// amount prints base units of any size as a decimal.
func amount(units *big.Int) string {
	whole, part := new(big.Int).QuoRem(units, big.NewInt(int64(account.Unit)), new(big.Int))
	sign := ""
	if units.Sign() < 0 {
		sign = "-"
	}
	text := fmt.Sprintf("%s%d.%08d", sign, whole.Abs(whole), part.Abs(part))
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
