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

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// errNotVerified is what verify ends with when the log was read, but is not what
// it must be. The report has said why.
var errNotVerified = errors.New("the log is NOT in order")

func verify(args []string, env func(string) string, stdout, _ io.Writer) error {
	dir := "./data"
	var audits auditCheck
	o := newOptions("verify", "Read the log and the newest snapshot of a stopped service, or of a copy, without\nchanging anything: check every frame and record, rebuild every account, compare\nthe snapshot with what the log leads to, and prove from the events alone that no\nvalue was made or lost. Follow the audit log's chain, and find the entry of every\nact that the events show.")
	o.Var(value[actors.AuditHead]{&audits.noted, parseHead, printHead}, "audit-head", "a head of the audit log, N:HASH, that was noted outside: prove that nothing before it was changed or cut off")
	o.text(&dir, "data", "directory of the log")
	if err := o.parse(args, env, stdout); err != nil {
		return err
	}
	audits.dir = dir
	if err := audits.read(); err != nil {
		return err
	}
	l, err := readLedger(dir, func(_ persistence.Position, r *account.Record) error {
		audits.visit(r)
		return nil
	})
	if err != nil {
		return err
	}
	return l.report(stdout, &audits)
}

// report prints what was found, and returns an error if it is not in order.
func (l *ledger) report(w io.Writer, audits *auditCheck) error {
	ids := make([]account.UserID, 0, len(l.accounts))
	for id := range l.accounts {
		ids = append(ids, id)
	}
	accounts := len(ids)
	if _, has := l.accounts[account.SystemID]; has { // the exchange's own, which is nobody's
		accounts--
	}
	slices.SortFunc(ids, func(a, b account.UserID) int { return slices.Compare(a[:], b[:]) })

	var balances, held big.Int
	var transactions uint64
	faults := l.faults()
	names := map[string]account.UserID{}
	hash := sha256.New()
	for _, id := range ids {
		a := l.accounts[id]
		balances.Add(&balances, big.NewInt(int64(a.Balance)))
		held.Add(&held, big.NewInt(int64(a.Held)))
		transactions += uint64(a.History.Size())
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
	if expected := l.expected(); expected.Cmp(&balances) != 0 {
		faults = append(faults, fmt.Sprintf("the balances are %s, the events say %s", amount(&balances), amount(expected)))
	}

	log := l.log
	fmt.Fprintf(w, "log            %d frames, %d records, %d bytes in %d segments, epoch %d\n", log.Frames, log.Records, log.Bytes, log.Segments, log.LastEpoch)
	if !l.whole {
		fmt.Fprintf(w, "front          frames before %d were given up; the snapshot stands for them\n", log.First)
	}
	if l.found {
		kept := len(l.kept)
		if _, has := l.kept[account.SystemID]; has {
			kept--
		}
		fmt.Fprintf(w, "snapshot       %d accounts after frame %d, %d bytes\n", kept, l.snapshot.Next-1, l.snapshot.Bytes)
	}
	for _, line := range identityLines(l.identity()) {
		fmt.Fprintf(w, "identity       %s\n", line)
	}
	fmt.Fprintf(w, "accounts       %d with %d transactions\n", accounts, transactions)
	if !l.whole {
		fmt.Fprintf(w, "opening        %s AITBC, the snapshot's balances\n", amount(&l.opening))
	}
	fmt.Fprintf(w, "credits        %s AITBC\n", amount(&l.tally.Credits))
	fmt.Fprintf(w, "debits         %s AITBC\n", amount(&l.tally.Debits))
	fmt.Fprintf(w, "fees           %s AITBC\n", amount(&l.tally.Fees))
	fmt.Fprintf(w, "balances       %s AITBC, %s of it held\n", amount(&balances), amount(&held))
	fmt.Fprintf(w, "state hash     %s\n", hex.EncodeToString(hash.Sum(nil)))
	if t := log.TornTail; t != nil {
		fmt.Fprintf(w, "torn tail      %d bytes at offset %d of %s were never acknowledged; the next start cuts them off\n", t.Bytes, t.Offset, t.File)
	}
	faults = append(faults, audits.report(w)...)
	for _, fault := range faults {
		fmt.Fprintf(w, "FAULT          %s\n", fault)
	}
	if len(faults) > 0 {
		return errNotVerified
	}
	if l.whole {
		fmt.Fprintln(w, "conserved      credits - debits - fees = balances")
	} else {
		fmt.Fprintln(w, "conserved      opening + credits - debits - fees = balances")
	}
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
