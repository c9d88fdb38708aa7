package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/persistence"
)

const keyUsage = `Usage: exchange key list|move [OPTIONS]

  list  print what the data of a service is tied to, and its extended public keys
  move  derive addresses from another extended public key from now on

Run 'exchange key move --help' for the options of one.
`

// key looks after the extended public keys of a stopped service.
func key(args []string, env func(string) string, stdout, _ io.Writer) error {
	what := ""
	if len(args) > 0 {
		what, args = args[0], args[1:]
	}
	switch what {
	case "list":
		return listKeys(args, env, stdout)
	case "move":
		return moveKey(args, env, stdout)
	case "", "help", "-h", "-help", "--help":
		_, err := io.WriteString(stdout, keyUsage)
		return err
	}
	return &usageError{fmt.Sprintf("there is no %q: want list or move", what)}
}

func listKeys(args []string, env func(string) string, stdout io.Writer) error {
	dir := "./data"
	o := newOptions("key list", "Print whether the data of a stopped service, or a copy, is of a demo or a real\nexchange, on which network, and the extended public keys that its addresses come\nfrom. Who has those keys sees every payment, and can spend none.")
	o.text(&dir, "data", "directory of the log")
	if err := o.parse(args, env, stdout); err != nil {
		return err
	}
	l, err := readLedger(dir, nil)
	if err != nil {
		return err
	}
	for _, line := range identityLines(l.identity()) {
		fmt.Fprintln(stdout, line)
	}
	return nil
}

// keyMove are the options of key move.
type keyMove struct {
	dir, network, xpub, by string
	first                  int // index of the first address of the key; 0: the next one
}

func moveKey(args []string, env func(string) string, stdout io.Writer) error {
	m := keyMove{dir: "./data", network: bitcoin.Mainnet.String(), by: machineUser()}
	o := newOptions("key move", "Derive addresses from another extended public key from now on. Stop the service\nfirst, and start it with the new key. What is paid to addresses of the earlier keys\nis still seen and credited, and payouts spend the coins of all: keep every private\nkey for as long as its addresses may be paid.")
	o.text(&m.dir, "data", "directory of the log of a stopped service")
	o.choice(&m.network, "bitcoin-network", bitcoin.NetworkNames(), "network of the key, which is that of the data")
	o.text(&m.xpub, "bitcoin-xpub", "extended public key of the BIP-84 account that payments go to from now on, with its origin; never a private one")
	o.integer(&m.first, "bitcoin-first-index", 0, bitcoin.MaxIndex, "first index of the new key's addresses, where that is more than the next one in the log: a restored backup does not know what was given out since")
	o.text(&m.by, "by", "who does it, for the audit log")
	if err := o.parse(args, env, stdout); err != nil {
		return err
	}
	if m.xpub == "" {
		return &usageError{"-bitcoin-xpub is missing: the extended public key to move to"}
	}
	network, err := bitcoin.ParseNetwork(m.network)
	if err != nil {
		panic(err) // the option allows only names of networks
	}
	keys, err := bitcoin.ParseKeys(m.xpub, network)
	if err != nil {
		return &usageError{"-bitcoin-xpub: " + err.Error()}
	}
	if _, err := os.Stat(filepath.Join(m.dir, "log")); err != nil {
		return fmt.Errorf("-data %s has no log: %w", m.dir, err)
	}
	switch mark, err := persistence.ReadCopyMark(m.dir); {
	case err != nil:
		return err
	case mark != nil:
		return fmt.Errorf("-data %s is a copy on which no service has run: start the service on it once with the key that it has, so that what was given out since is skipped, and move then", m.dir)
	}
	moved, err := m.move(keys)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "moved to account key %s, for addresses from %d on and change from payout %d on\n", moved.Fingerprint, moved.External, moved.Change)
	fmt.Fprintf(stdout, "serve it with --bitcoin-xpub %s from now on; the earlier keys stay for what was given out under them\n", moved.Text)
	return nil
}

// machineUser is who runs the command.
func machineUser() string {
	if current, err := user.Current(); err == nil && current.Username != "" {
		return current.Username
	}
	return "unknown"
}

// move writes it into the log, and into the audit log before.
func (m *keyMove) move(keys *bitcoin.Keys) (moved account.ExtendedKey, err error) {
	quiet := slog.New(slog.DiscardHandler)
	local, err := persistence.OpenLocal(persistence.LocalConfig{Dir: m.dir, Logger: quiet})
	if err != nil {
		return moved, err
	}
	journal, err := persistence.Open(persistence.Config{Log: local, Snapshots: local, Logger: quiet})
	if err != nil {
		return moved, errors.Join(err, local.Close())
	}
	audit, err := openAudit(m.dir, time.Minute, quiet)
	if err != nil {
		return moved, errors.Join(err, journal.Close())
	}
	exchange := actors.New(actors.Config{
		Journal: journal, Terms: actors.DefaultTerms(), Audit: audit.AuditLog, CommandTimeout: time.Minute, Logger: quiet, Random: rand.Reader,
	})
	if err = exchange.RecoverStopped(context.Background()); err == nil {
		moved, err = exchange.MoveKey(keys, uint32(m.first), m.by)
	}
	exchange.Close()
	return moved, errors.Join(err, audit.journal.Close(), journal.Close())
}
