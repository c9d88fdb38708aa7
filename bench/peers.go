package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/aitbc/exchange/bench/peer"
)

// postgresPool is how many connections the PostgreSQL peer keeps. More of them make
// larger group commits: 8, 16, 24 and 40 came to 2,100, 3,200, 4,300 and 4,900
// deposits/s in one run on two busy cores, in which a commit_delay of 200 µs gained
// with few connections (2,900 with 8) and lost with 40 (4,400).
const postgresPool = 64

// servePeer is what bench runs itself as, to serve a peer in a process of its own.
func servePeer(args []string) error {
	flags := flag.NewFlagSet("peer", flag.ContinueOnError)
	listen := flags.String("listen", "", "address to serve HTTP on")
	samples := flags.String("samples", "", "responses of the empty handler, a JSON file")
	database := flags.String("database", "", "where the database is: a connection string, or a socket")
	pool := flags.Int("pool", postgresPool, "connections to PostgreSQL")
	if len(args) == 0 {
		return errors.New("want empty, postgres or redis")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "empty":
		content, err := os.ReadFile(*samples)
		if err != nil {
			return err
		}
		var s peer.Samples
		if err := json.Unmarshal(content, &s); err != nil {
			return fmt.Errorf("%s: %w", *samples, err)
		}
		return peer.ServeEmpty(*listen, s)
	case "postgres":
		store, err := peer.Postgres(context.Background(), *database, *pool)
		if err != nil {
			return err
		}
		return peer.Serve(*listen, store)
	case "redis":
		store, err := peer.Redis(*database)
		if err != nil {
			return err
		}
		return peer.Serve(*listen, store)
	}
	return fmt.Errorf("there is no peer %q", args[0])
}

// sampleOf asks for an operation and keeps the form of its response.
func sampleOf(address string, users *population, op operation) (peer.Sample, error) {
	c, err := dial(address)
	if err != nil {
		return peer.Sample{}, err
	}
	defer c.close()
	r, err := c.do(users.appendRequest(nil, call{operation: op}))
	if err != nil {
		return peer.Sample{}, err
	}
	if r.status != op.status() {
		return peer.Sample{}, fmt.Errorf("%s: status %d: %s", op, r.status, r.body)
	}
	return peer.Sample{Status: r.status, Headers: extraHeaders(r.header), Size: len(r.body)}, nil
}
