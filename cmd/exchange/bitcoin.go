package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/actors/rates"
)

// bitcoinSettings are the options of serve that are about Bitcoin: the node, the
// addresses, what becomes of payments that are not as quoted, and the rate.
type bitcoinSettings struct {
	rpc, rpcUser, rpcPassFile, xpub string
	poll                            time.Duration
	firstIndex                      int

	tolerancePPM              int64
	underpaid, overpaid, late string

	rateFeed             string
	rateMaxAge           time.Duration
	rateLow, rateHighest account.Money

	keys      *bitcoin.Keys // of xpub, after check
	confirmed bool          // the node has said that it is on the network
}

func (b *bitcoinSettings) addTo(o *options) {
	*b = bitcoinSettings{
		poll:      2 * time.Second,
		underpaid: "refund", overpaid: "refund", late: "refund",
		rateMaxAge: 5 * time.Minute, rateLow: 1, rateHighest: account.MaxMoney,
	}
	rules := []string{"refund", "proportion"}
	o.text(&b.rpc, "bitcoin-rpc", "address of the Bitcoin node's JSON-RPC, http://HOST:PORT; without it, and outside of demo mode, nobody can buy")
	o.text(&b.rpcUser, "bitcoin-rpc-user", "user of the node's JSON-RPC; without it the file is a cookie, USER:PASSWORD")
	o.text(&b.rpcPassFile, "bitcoin-rpc-pass-file", "file with the password of the node's JSON-RPC, or the node's cookie")
	o.text(&b.xpub, "bitcoin-xpub", "extended public key of the BIP-84 account that payments go to; never a private one; exchange key move changes it")
	o.duration(&b.poll, "bitcoin-poll", 10*time.Millisecond, time.Minute, "time between two looks at the node")
	o.integer(&b.firstIndex, "bitcoin-first-index", 0, bitcoin.MaxIndex, "lowest index of an address that is given out from now on; those between the log's and it go to nobody and are watched. It only ever raises the index: for a restored backup after which more were given out than the start skips by itself")
	o.percent(&b.tolerancePPM, "payment-tolerance", "percent of a payment that may be missing; it is the exchange's loss")
	o.choice(&b.underpaid, "underpaid", rules, "what becomes of a payment of less than was quoted: back to the payer, or AITBC for as much as was paid")
	o.choice(&b.overpaid, "overpaid", rules, "what becomes of what is paid beyond the quote")
	o.choice(&b.late, "late", rules, "what becomes of what is paid after the quote has expired")
	o.text(&b.rateFeed, "rate-feed", "file, or http:// or https:// address, with {\"aitbc_per_btc\": NUMBER, \"at\": TIME}, read every 10 s in place of --rate")
	o.duration(&b.rateMaxAge, "rate-max-age", time.Second, 24*time.Hour, "how old the feed's rate may be; there is no trade at an older one")
	o.money(&b.rateLow, "rate-lowest", 1, account.MaxMoney, "rate of the feed below which it is taken for a mistake")
	o.money(&b.rateHighest, "rate-highest", 1, account.MaxMoney, "rate of the feed above which it is taken for a mistake")
}

// check finds what no single option shows. No error repeats the key: it may be a
// private one, given by mistake.
func (b *bitcoinSettings) check(networkName string) error {
	if b.rateLow > b.rateHighest {
		return &usageError{fmt.Sprintf("-rate-lowest %s is more than -rate-highest %s", b.rateLow, b.rateHighest)}
	}
	if b.xpub != "" {
		network, err := bitcoin.ParseNetwork(networkName)
		if err != nil {
			panic(err) // --bitcoin-network allows only names of networks
		}
		if b.keys, err = bitcoin.ParseKeys(b.xpub, network); err != nil {
			return &usageError{"-bitcoin-xpub: " + err.Error()}
		}
	}
	switch {
	case b.rpc == "" && b.xpub != "":
		return &usageError{"-bitcoin-xpub is given, and no -bitcoin-rpc to see its payments with"}
	case b.rpc == "" && b.firstIndex != 0:
		return &usageError{"-bitcoin-first-index is given, and no -bitcoin-rpc to make addresses for"}
	case b.rpc != "" && b.xpub == "":
		return &usageError{"-bitcoin-rpc is given, and no -bitcoin-xpub to make addresses from"}
	case b.rpc != "" && b.rpcPassFile == "":
		return &usageError{"-bitcoin-rpc is given, and no -bitcoin-rpc-pass-file: name the file with the password, or the node's cookie"}
	}
	return nil
}

// node prepares the calls to the node, nil if there is none. It fails for a node of
// another network; one that does not answer may do so later.
func (b *bitcoinSettings) node(ctx context.Context, log *slog.Logger) (*bitcoin.Node, error) {
	if b.rpc == "" {
		return nil, nil
	}
	node, err := bitcoin.NewNode(bitcoin.NodeConfig{
		Network: b.keys.Network(), URL: b.rpc, User: b.rpcUser, PassFile: b.rpcPassFile,
	})
	if err != nil {
		return nil, &usageError{"-bitcoin-rpc: " + err.Error()}
	}
	const patience = 5 * time.Second
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	info, err := node.Check(asking)
	switch {
	case errors.Is(err, bitcoin.ErrWrongNetwork):
		return nil, err
	case err != nil:
		log.Warn("the Bitcoin node does not answer yet", slog.Any("error", err))
	default:
		b.confirmed = true
		log.Info("Bitcoin node", slog.String("network", b.keys.Network().String()), slog.Int("height", int(info.Tip.Height)),
			slog.Bool("pruned", info.Pruned), slog.String("keys", b.keys.String()))
	}
	return node, nil
}

// policy is what the options say of payments that are not as quoted.
func (b *bitcoinSettings) policy() bitcoin.Policy {
	rule := func(name string) bitcoin.Rule {
		if name == "proportion" {
			return bitcoin.Proportion
		}
		return bitcoin.Refund
	}
	return bitcoin.Policy{
		TolerancePPM: b.tolerancePPM,
		Underpaid:    rule(b.underpaid), Overpaid: rule(b.overpaid), Late: rule(b.late),
	}
}

// feed begins to read the rate feed, until stop is called. rate is nil where there
// is none.
func (b *bitcoinSettings) feed(log *slog.Logger) (rate func() (account.Money, error), stop func()) {
	if b.rateFeed == "" {
		return nil, func() {}
	}
	feed := rates.NewFeed(rates.Config{
		Source: b.rateFeed, MaxAge: b.rateMaxAge, Lowest: b.rateLow, Highest: b.rateHighest, Logger: log,
	})
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		feed.Run(ctx)
	}()
	return func() (account.Money, error) {
			rate, err := feed.Rate()
			return rate.AITBC, err
		}, func() {
			cancel()
			<-stopped
		}
}
