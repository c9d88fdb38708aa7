package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// operation is one kind of request.
type operation uint8

const (
	deposit operation = iota
	balance
	history // a page of historyPage transactions
	login
	batch          // of batchSize deposits
	operations int = iota
)

var operationNames = [operations]string{"deposit", "balance", "history", "login", "batch"}

func (op operation) String() string { return operationNames[op] }

// status is the only one that counts as done.
func (op operation) status() int {
	if op == deposit {
		return 201
	}
	return 200
}

// deposits is how many acknowledged deposits one response stands for.
func (op operation) deposits() int64 {
	switch op {
	case deposit:
		return 1
	case batch:
		return batchSize
	}
	return 0
}

// depositAmount in base units is what depositBody says: 1.5.
const (
	depositAmount = 150_000_000
	depositBody   = `{"amount":1.5}`
)

const historyPage = 20

// batchSize is how many deposits the body of a batch has, a line each.
const batchSize = 100

var batchBody = strings.Repeat(`{"type":"deposit","amount":1.5}`+"\n", batchSize)

// mix is what users do: the share of each operation in percent, and of the users'
// requests the share that is for one of them.
type mix struct {
	name   string
	shares [operations]int
	hot    int  // percent for user 0; the rest is spread evenly
	ours   bool // only the exchange answers it
}

var mixes = []mix{
	{name: "deposit", shares: [operations]int{deposit: 100}},
	{name: "balance", shares: [operations]int{balance: 100}},
	{name: "history", shares: [operations]int{history: 100}},
	{name: "login", shares: [operations]int{login: 100}},
	{name: "realistic", shares: [operations]int{balance: 60, history: 20, deposit: 15, login: 5}},
	{name: "hot user", shares: [operations]int{deposit: 100}, hot: 90},
	{name: "batch of 100", shares: [operations]int{batch: 100}, ours: true},
}

func mixNamed(name string) (mix, error) {
	for _, m := range mixes {
		if m.name == name {
			return m, nil
		}
	}
	return mix{}, fmt.Errorf("there is no mix %q", name)
}

// source generates the mix's requests for users.
func (m mix) source(users *population) source {
	return func(b []byte, _ int64, random *rand.Rand) ([]byte, call) {
		op, draw := operation(0), random.IntN(100)
		for draw >= m.shares[op] {
			draw -= m.shares[op]
			op++
		}
		c := call{operation: op}
		if m.hot == 0 || random.IntN(100) >= m.hot {
			c.user = int32(random.IntN(users.among(op)))
		}
		return users.appendRequest(b, c), c
	}
}
