package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// fill makes a data directory as a service of long standing leaves it: accounts
// with a session and a mix of transactions each, in the log, and in a snapshot if
// asked for. It is the one part of bench that uses the exchange's own packages,
// those that write such directories: over HTTP it would take hours. The accounts
// decide for themselves, so what is written is what they would have written; the
// same arguments make the same directory, but for the epoch.
func fill(args []string) error {
	flags := flag.NewFlagSet("fill", flag.ExitOnError)
	accounts := flags.Int("accounts", 100_000, "accounts")
	transactions := flags.Int("transactions", 10, "transactions of each")
	dir := flags.String("data", "", "data directory to make; it must not exist")
	snapshots := flags.Bool("snapshot", false, "also take a snapshot before the last transaction of each and one after it, as a running service would; the log before is then given up")
	mix := flags.String("mix", "mixed", "deposits, or mixed: of ten transactions six deposits, two buys, a withdrawal and a sale")
	seed := flags.Uint64("seed", 1, "of the random numbers")
	_ = flags.Parse(args)
	if *dir == "" || *accounts < 1 || *transactions < 0 || (*mix != "mixed" && *mix != "deposits") {
		return fmt.Errorf("want --data, --accounts of at least 1, and --mix mixed or deposits")
	}
	if _, err := os.Stat(*dir); err == nil {
		return fmt.Errorf("%s is there already", *dir)
	}
	store, err := local.Open(local.Config{Dir: *dir})
	if err != nil {
		return err
	}
	journal, err := persistence.Open(persistence.Config{Log: store, Snapshots: store})
	if err != nil {
		return err
	}
	if err := journal.Start(); err != nil {
		return err
	}
	began := time.Now()
	f := filler{
		journal: journal, random: rand.New(rand.NewPCG(*seed, 0)), room: make(chan struct{}, 50_000),
		deposits: *mix == "deposits", accounts: make([]*account.Account, *accounts),
	}
	if err := f.all(*transactions, *snapshots); err != nil {
		return err
	}
	stats := journal.Stats()
	fmt.Printf("%d accounts, %d transactions, %d records with %d events, %d bytes of log in %s\n",
		*accounts, f.transactions, stats.Records, f.events, stats.Bytes, time.Since(began).Round(time.Millisecond))
	return journal.Close()
}

// filler makes accounts go through their lives, all at the same time: in a log the
// records of users are mixed.
type filler struct {
	journal      *persistence.Journal
	random       *rand.Rand
	room         chan struct{} // a place for each record that is not durable yet
	deposits     bool
	accounts     []*account.Account
	record       []byte
	now          account.Time
	events       uint64
	transactions uint64
}

// Committed implements persistence.Completion. A failed record is told by Close.
func (f *filler) Committed(error) { <-f.room }

// all logs every account in, and then adds a transaction to each in turn.
func (f *filler) all(transactions int, snapshots bool) error {
	f.now = account.TimeOf(time.Now().Add(-24 * time.Hour * time.Duration(transactions+1)))
	for i := range f.accounts {
		a := account.New(account.UserID(f.bytes16()))
		f.accounts[i] = a
		wallet := fmt.Sprintf("aitbc1wallet_fill%08d", i)
		login := &account.Login{
			Wallet: wallet, Email: wallet + "@aitbc.local", Username: fmt.Sprintf("user_%08d", i),
			Session: account.Hash(sha256.Sum256([]byte(wallet))), ExpiresAt: account.TimeOf(time.Now().Add(24 * time.Hour)),
		}
		if _, err := f.do(a, login); err != nil {
			return err
		}
	}
	for n := range transactions {
		if snapshots && n == transactions-1 {
			if err := f.snapshot(); err != nil {
				return err
			}
		}
		f.now = f.now.Add(24 * time.Hour)
		for _, a := range f.accounts {
			if err := f.transact(a, n); err != nil {
				return err
			}
		}
	}
	if snapshots {
		return f.snapshot()
	}
	f.wait()
	return f.journal.Err()
}

// wait returns when every record is durable.
func (f *filler) wait() {
	for range cap(f.room) {
		f.room <- struct{}{}
	}
	for range cap(f.room) {
		<-f.room
	}
}

func (f *filler) snapshot() error {
	f.wait()
	_, err := f.journal.Snapshot(context.Background(), func(add func([]byte) error) error {
		var entry []byte
		for _, a := range f.accounts {
			entry = a.AppendState(entry[:0])
			if err := add(entry); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// transact makes transaction n of a, and settles it as most are.
func (f *filler) transact(a *account.Account, n int) error {
	amount := account.Money(1+f.random.Int64N(1000)) * account.Unit / 100
	var c account.Command = &account.Deposit{Amount: amount * 10}
	if !f.deposits {
		switch n % 10 {
		case 3, 7:
			c = &account.CreatePayment{Amount: amount, BTC: amount / 99_500, BTCFee: amount / 20_000_000, Address: f.address(), Lifetime: time.Hour}
		case 5:
			c = &account.Withdraw{Amount: amount / 10, Fee: 1000, To: account.UserID(f.bytes16()).Address()}
		case 9:
			c = &account.Sell{Amount: amount / 10, BTC: 1 + amount/1_000_000, BTCFee: amount / 20_000_000, Address: f.address()}
		}
	}
	number, err := f.do(a, c)
	if err != nil {
		return err
	}
	f.transactions++
	if _, deposit := c.(*account.Deposit); deposit {
		return nil
	}
	settle := &account.Complete{N: number, By: "ops"}
	if t, _ := a.History.At(number); t.Type != account.TypeWithdrawal {
		hash := sha256.Sum256(binary.BigEndian.AppendUint64(a.ID[:], uint64(number)))
		settle.TxHash, settle.Confirmations, settle.By = hex.EncodeToString(hash[:]), 1, "chain"
	}
	_, err = f.do(a, settle)
	return err
}

// do decides, applies and appends, and waits only where the queue is full.
func (f *filler) do(a *account.Account, c account.Command) (uint32, error) {
	f.now++
	d, err := a.Decide(c, nil, f.now)
	if err != nil {
		return 0, err
	}
	f.record = d.Record.Append(f.record[:0])
	f.room <- struct{}{}
	if err := f.journal.Reserve(len(f.record)); err != nil {
		return 0, err
	}
	if err := a.Apply(&d.Record); err != nil {
		return 0, err
	}
	f.journal.Append(f.record, f)
	f.events += uint64(len(d.Record.Events))
	return d.N, nil
}

// address looks like a Bitcoin address; nothing is ever sent there.
func (f *filler) address() string {
	const alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
	b := []byte("bcrt1q")
	for range 38 {
		b = append(b, alphabet[f.random.IntN(len(alphabet))])
	}
	return string(b)
}

func (f *filler) bytes16() (b [16]byte) {
	binary.LittleEndian.PutUint64(b[:], f.random.Uint64())
	binary.LittleEndian.PutUint64(b[8:], f.random.Uint64())
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // a UUID of version 4
	return b
}
