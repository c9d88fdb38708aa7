package main

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// This file is what a client may believe of one account, as a sequential
// specification for porcupine: a history of requests is right if each can be given
// an instant between its call and its return at which it happened, whole.

// ledgerInput is a request.
type ledgerInput struct {
	account string
	kind    string // deposit, withdraw, complete, fail, balance, total
	key     int    // the Idempotency-Key, 0 for none or one that was sent once
	amount  int64  // base units
	n       int    // the transaction to complete or fail
}

// ledgerOutput is its answer. unknown: there was none, so that the request may have
// had its effect or not, before its return.
type ledgerOutput struct {
	unknown, refused, replayed bool
	n                          int // the transaction
	balance, held              int64
	total                      int
}

const ledgerFee = 10_000_000 // of a withdrawal, base units

// ledgerState is an account. Its slices are replaced, never written.
type ledgerState struct {
	balance, held int64
	total         int
	pending       []ledgerHold
	keys          []ledgerKey
}

type ledgerHold struct {
	n    int
	held int64
}

type ledgerKey struct{ key, n int }

// step returns the states that may follow from a request with that answer.
func (s ledgerState) step(in ledgerInput, out ledgerOutput) (next []ledgerState) {
	switch in.kind {
	case "balance":
		if out.unknown || (out.balance == s.balance && out.held == s.held) {
			next = append(next, s)
		}
	case "total":
		if out.unknown || out.total == s.total {
			next = append(next, s)
		}
	case "deposit", "withdraw":
		if i := slices.IndexFunc(s.keys, func(k ledgerKey) bool { return k.key == in.key }); i >= 0 {
			if out.unknown || (out.replayed && out.n == s.keys[i].n) {
				next = append(next, s)
			}
			return next
		}
		after, ok := s.add(in)
		switch {
		case out.unknown:
			next = append(next, s)
			if ok {
				next = append(next, after)
			}
		case out.refused && !ok:
			next = append(next, s)
		case !out.refused && ok && !out.replayed && out.n == after.total:
			next = append(next, after)
		}
	case "complete", "fail":
		after, ok := s.settle(in)
		switch {
		case out.unknown:
			next = append(next, s)
			if ok {
				next = append(next, after)
			}
		case out.refused != ok:
			if ok {
				s = after
			}
			next = append(next, s)
		}
	}
	return next
}

// add is a deposit or withdrawal; false if there is too little for it.
func (s ledgerState) add(in ledgerInput) (ledgerState, bool) {
	s.total++
	if in.kind == "deposit" {
		s.balance += in.amount
	} else {
		hold := in.amount + ledgerFee
		if hold > s.balance-s.held {
			return s, false
		}
		s.held += hold
		s.pending = append(slices.Clip(s.pending), ledgerHold{s.total, hold})
	}
	if in.key != 0 {
		s.keys = append(slices.Clip(s.keys), ledgerKey{in.key, s.total})
	}
	return s, true
}

// settle is the operator's; false if the transaction is not pending.
func (s ledgerState) settle(in ledgerInput) (ledgerState, bool) {
	i := slices.IndexFunc(s.pending, func(h ledgerHold) bool { return h.n == in.n })
	if i < 0 {
		return s, false
	}
	s.held -= s.pending[i].held
	if in.kind == "complete" {
		s.balance -= s.pending[i].held
	}
	s.pending = slices.Delete(slices.Clone(s.pending), i, i+1)
	return s, true
}

func (s ledgerState) equal(o ledgerState) bool {
	return s.balance == o.balance && s.held == o.held && s.total == o.total &&
		slices.Equal(s.pending, o.pending) && slices.Equal(s.keys, o.keys)
}

// ledgerModel is linearizability of every account by itself.
func ledgerModel() porcupine.Model {
	model := porcupine.NondeterministicModel{
		Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
			place := map[string]int{}
			for _, o := range history {
				name := o.Input.(ledgerInput).account
				i, ok := place[name]
				if !ok {
					i = len(parts)
					place[name], parts = i, append(parts, nil)
				}
				parts[i] = append(parts[i], o)
			}
			return parts
		},
		Init: func() []any { return []any{ledgerState{}} },
		Step: func(state, in, out any) (next []any) {
			for _, s := range state.(ledgerState).step(in.(ledgerInput), out.(ledgerOutput)) {
				next = append(next, s)
			}
			return next
		},
		Equal: func(a, b any) bool { return a.(ledgerState).equal(b.(ledgerState)) },
		Hash: func(state any) uint64 {
			s := state.(ledgerState)
			return uint64(s.balance)*31 + uint64(s.held)*17 + uint64(s.total)
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v -> %+v", in, out) },
	}
	return model.ToModel()
}

// checkLinearizable fails the test with the requests around the first that fits
// nowhere.
func checkLinearizable(t *testing.T, history []porcupine.Operation) {
	t.Helper()
	model := ledgerModel()
	result, info := porcupine.CheckOperationsVerbose(model, history, 2*time.Minute)
	if result == porcupine.Ok {
		return
	}
	t.Errorf("linearizable: %s", result)
	parts := model.Partition(history)
	for i, partials := range info.PartialLinearizations() {
		longest := slices.MaxFunc(partials, func(a, b []int) int { return len(a) - len(b) })
		if len(longest) == len(parts[i]) {
			continue
		}
		t.Logf("%d of %d requests fit; the last of these, and the first of the others:", len(longest), len(parts[i]))
		for _, n := range longest[max(0, len(longest)-5):] {
			t.Log("  fits: ", describeOperation(model, parts[i][n]))
		}
		rest := slices.Clone(parts[i])
		for _, n := range longest {
			rest[n].Input = nil
		}
		rest = slices.DeleteFunc(rest, func(o porcupine.Operation) bool { return o.Input == nil })
		slices.SortFunc(rest, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
		for _, o := range rest[:min(5, len(rest))] {
			t.Log("  does not: ", describeOperation(model, o))
		}
	}
}

func describeOperation(model porcupine.Model, o porcupine.Operation) string {
	return fmt.Sprintf("%s to %s, client %d: %s", time.Duration(o.Call), time.Duration(o.Return), o.ClientId, model.DescribeOperation(o.Input, o.Output))
}

// TestTheLedgerModelTellsRightFromWrong: without it, the test of the service might
// be one that can't fail.
func TestTheLedgerModelTellsRightFromWrong(t *testing.T) {
	const unit = 100_000_000
	op := func(call, end int64, in ledgerInput, out ledgerOutput) porcupine.Operation {
		return porcupine.Operation{Input: in, Output: out, Call: call, Return: end}
	}
	deposit := func(key int) ledgerInput { return ledgerInput{kind: "deposit", amount: unit, key: key} }
	withdraw := ledgerInput{kind: "withdraw", amount: unit / 2}
	balance, total := ledgerInput{kind: "balance"}, ledgerInput{kind: "total"}
	done := func(n int) ledgerOutput { return ledgerOutput{n: n} }
	unknown := ledgerOutput{unknown: true}
	for _, c := range []struct {
		name    string
		right   bool
		history []porcupine.Operation
	}{
		{"one after another", true, []porcupine.Operation{
			op(0, 1, deposit(0), done(1)), op(2, 3, withdraw, done(2)), op(4, 5, balance, ledgerOutput{balance: unit, held: unit/2 + ledgerFee}),
			op(6, 7, ledgerInput{kind: "complete", n: 2}, done(2)), op(8, 9, balance, ledgerOutput{balance: unit/2 - ledgerFee}), op(10, 11, total, ledgerOutput{total: 2}),
		}},
		{"a read beside a deposit may show it", true, []porcupine.Operation{op(0, 9, deposit(0), done(1)), op(1, 2, balance, ledgerOutput{balance: unit})}},
		{"a read beside a deposit may not show it", true, []porcupine.Operation{op(0, 9, deposit(0), done(1)), op(1, 2, balance, ledgerOutput{})}},
		{"two reads beside a deposit, and it vanishes", false, []porcupine.Operation{
			op(0, 9, deposit(0), done(1)), op(1, 2, balance, ledgerOutput{balance: unit}), op(3, 4, balance, ledgerOutput{}),
		}},
		{"a stale read after the answer", false, []porcupine.Operation{op(0, 1, deposit(0), done(1)), op(2, 3, balance, ledgerOutput{})}},
		{"a stale total after the answer", false, []porcupine.Operation{op(0, 1, deposit(0), done(1)), op(2, 3, total, ledgerOutput{})}},
		{"no answer, and it happened", true, []porcupine.Operation{op(0, 1, deposit(0), unknown), op(2, 3, balance, ledgerOutput{balance: unit})}},
		{"no answer, and it did not happen", true, []porcupine.Operation{op(0, 1, deposit(0), unknown), op(2, 3, balance, ledgerOutput{})}},
		{"no answer, and it happens after the crash", false, []porcupine.Operation{
			op(0, 1, deposit(0), unknown), op(2, 3, balance, ledgerOutput{}), op(4, 5, balance, ledgerOutput{balance: unit}),
		}},
		{"a retry of what happened", true, []porcupine.Operation{
			op(0, 1, deposit(7), unknown), op(2, 3, deposit(7), ledgerOutput{n: 1, replayed: true}), op(4, 5, balance, ledgerOutput{balance: unit}),
		}},
		{"a retry of what did not happen", true, []porcupine.Operation{
			op(0, 1, deposit(7), unknown), op(2, 3, deposit(7), done(1)), op(4, 5, balance, ledgerOutput{balance: unit}),
		}},
		{"a retry deposits twice", false, []porcupine.Operation{
			op(0, 1, deposit(7), unknown), op(2, 3, deposit(7), done(2)), op(4, 5, balance, ledgerOutput{balance: 2 * unit}),
		}},
		{"a retry of an answered deposit deposits twice", false, []porcupine.Operation{op(0, 1, deposit(7), done(1)), op(2, 3, deposit(7), done(2))}},
		{"one transaction's number given twice", false, []porcupine.Operation{op(0, 9, deposit(0), done(1)), op(1, 8, deposit(0), done(1))}},
		{"an answered deposit is lost", false, []porcupine.Operation{op(0, 1, deposit(0), done(1)), op(2, 3, deposit(0), done(1))}},
		{"more is withdrawn than there is", false, []porcupine.Operation{op(0, 1, withdraw, done(1))}},
		{"a withdrawal is refused although there is enough", false, []porcupine.Operation{
			op(0, 1, deposit(0), done(1)), op(2, 3, withdraw, ledgerOutput{refused: true}),
		}},
		{"a withdrawal is completed twice", false, []porcupine.Operation{
			op(0, 1, deposit(0), done(1)), op(2, 3, withdraw, done(2)),
			op(4, 9, ledgerInput{kind: "complete", n: 2}, done(2)), op(5, 8, ledgerInput{kind: "fail", n: 2}, done(2)),
		}},
		{"balance and hold of different moments", false, []porcupine.Operation{
			op(0, 1, deposit(0), done(1)), op(2, 3, withdraw, done(2)),
			op(4, 9, ledgerInput{kind: "complete", n: 2}, done(2)), op(5, 6, balance, ledgerOutput{balance: unit}),
		}},
	} {
		if right := porcupine.CheckOperations(ledgerModel(), c.history); right != c.right {
			t.Errorf("%s: it is said to be right: %t", c.name, right)
		}
	}
}
