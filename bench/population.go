package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
)

// population is the users of one server and a session of each. It is read-only
// once it is made. A million users fit: an id and a token each in one slice, and
// requests are built as they are sent.
type population struct {
	size        int
	idLength    int
	tokenLength int
	credentials []byte // of each user, the id and the token
	readers     int    // users that have a whole page of history
	members     int    // wallets that log in again and again, disjoint from the users
}

// Users of the operations that are not spread over all of them, so that a server
// is ready in seconds.
const (
	maxReaders = 1000
	maxMembers = 10_000
)

// among is how many users take part in an operation.
func (p *population) among(op operation) int {
	switch op {
	case history:
		return p.readers
	case login:
		return p.members
	}
	return p.size
}

func (p *population) id(user int32) []byte {
	at := int(user) * (p.idLength + p.tokenLength)
	return p.credentials[at : at+p.idLength]
}

func (p *population) token(user int32) []byte {
	at := int(user)*(p.idLength+p.tokenLength) + p.idLength
	return p.credentials[at : at+p.tokenLength]
}

// appendRequest builds the request of a call.
func (p *population) appendRequest(b []byte, c call) []byte {
	if c.operation == login {
		return appendLogin(b, "member", int(c.user))
	}
	var path [96]byte
	at := append(append(path[:0], "/api/users/"...), p.id(c.user)...)
	switch c.operation {
	case deposit:
		return appendMessage(b, "POST", append(at, "/deposits"...), p.token(c.user), depositBody)
	case batch:
		return appendTyped(b, "POST", append(at, "/operations"...), p.token(c.user), "application/x-ndjson", batchBody)
	case balance:
		return appendMessage(b, "GET", append(at, "/balance"...), p.token(c.user), "")
	case history:
		return appendMessage(b, "GET", append(at, "/transactions?limit=20"...), p.token(c.user), "")
	}
	panic(fmt.Sprintf("operation %d has no request", c.operation))
}

func appendLogin(b []byte, kind string, n int) []byte {
	var text [64]byte
	body := append(append(text[:0], `{"wallet_address":"aitbc1`...), kind...)
	body = append(strconv.AppendInt(body, int64(1e8+n), 10), `"}`...)
	return appendMessage(b, "POST", []byte("/api/users/login"), nil, string(body))
}

// populate makes users by logging them in over many connections at once. full
// makes what the history and login operations need besides.
func populate(ctx context.Context, address string, users int, full bool) (*population, error) {
	p := &population{size: users}
	first, err := firstLogin(address)
	if err != nil {
		return nil, err
	}
	p.idLength, p.tokenLength = first.idLength, first.tokenLength
	p.credentials = make([]byte, users*(p.idLength+p.tokenLength))
	l := load{address: address, connections: min(256, users), requests: int64(users)}
	l.source = func(b []byte, n int64, _ *rand.Rand) ([]byte, call) {
		return appendLogin(b, "user", int(n)), call{login, int32(n)}
	}
	l.sink = func(c call, r response) error { return p.keep(c.user, r.body) }
	if _, err := l.run(ctx); err != nil {
		return nil, fmt.Errorf("making %d users: %w", users, err)
	}
	if full {
		return p, p.complete(ctx, address)
	}
	return p, nil
}

// complete logs the members in once and fills the readers' histories.
func (p *population) complete(ctx context.Context, address string) error {
	p.members = min(maxMembers, p.size)
	p.readers = min(maxReaders, p.size)
	l := load{address: address, connections: min(256, p.size), requests: int64(p.members)}
	l.source = func(b []byte, n int64, _ *rand.Rand) ([]byte, call) {
		c := call{login, int32(n)}
		return p.appendRequest(b, c), c
	}
	if _, err := l.run(ctx); err != nil {
		return fmt.Errorf("logging %d members in: %w", p.members, err)
	}
	l.requests = int64(p.readers) * historyPage
	l.source = func(b []byte, n int64, _ *rand.Rand) ([]byte, call) {
		c := call{deposit, int32(n % int64(p.readers))}
		return p.appendRequest(b, c), c
	}
	if _, err := l.run(ctx); err != nil {
		return fmt.Errorf("filling %d histories: %w", p.readers, err)
	}
	return nil
}

// filled is how many deposits complete made.
func (p *population) filled() int64 { return int64(p.readers) * historyPage }

// firstLogin learns how long ids and tokens are.
func firstLogin(address string) (*population, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	r, err := c.do(appendLogin(nil, "first", 0))
	if err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	if r.status != 200 {
		return nil, fmt.Errorf("login: status %d: %s", r.status, r.body)
	}
	id, err := member(r.body, "user_id")
	if err != nil {
		return nil, err
	}
	token, err := member(r.body, "session_token")
	if err != nil {
		return nil, err
	}
	return &population{idLength: len(id), tokenLength: len(token)}, nil
}

// keep remembers what a login answered. Each user's is another part of the slice,
// so any number of threads may call it.
func (p *population) keep(user int32, body []byte) error {
	id, err := member(body, "user_id")
	if err != nil {
		return err
	}
	token, err := member(body, "session_token")
	if err != nil {
		return err
	}
	if len(id) != p.idLength || len(token) != p.tokenLength {
		return fmt.Errorf("ids and tokens are not all of one length: %s", body)
	}
	copy(p.id(user), id)
	copy(p.token(user), token)
	return nil
}

// checkBalances reads every user's balance and compares the sum to the deposits
// that were acknowledged: a server that lost one, or made one twice, or answered
// without doing the work, is not worth its figure.
func (p *population) checkBalances(ctx context.Context, address string, acknowledged int64) error {
	var sum atomic.Int64
	l := load{address: address, connections: min(64, p.size), requests: int64(p.size)}
	l.source = func(b []byte, n int64, _ *rand.Rand) ([]byte, call) {
		c := call{balance, int32(n)}
		return p.appendRequest(b, c), c
	}
	l.sink = func(c call, r response) error {
		units, err := balanceOf(r.body)
		sum.Add(units)
		return err
	}
	if _, err := l.run(ctx); err != nil {
		return fmt.Errorf("reading all balances: %w", err)
	}
	if want := acknowledged * depositAmount; sum.Load() != want {
		return fmt.Errorf("the balances add up to %d base units, but %d deposits were acknowledged, which is %d", sum.Load(), acknowledged, want)
	}
	return nil
}
