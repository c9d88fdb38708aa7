package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/httpapi"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// operatorKeyVariable holds a key itself. It is no flag, because command lines
// are seen by every user of the machine.
const operatorKeyVariable = "EXCHANGE_OPERATOR_KEY"

// stopTimeout is how long requests under way may take after SIGTERM. A client that
// has connected and says nothing takes all of it, and the whole stop is promised
// within 5 s.
const stopTimeout = 3 * time.Second

// settings are the options of serve.
type settings struct {
	listen          string
	data            string
	demo            string // auto, on or off
	demoConfirm     time.Duration
	operatorKeyFile string
	logLevel        string
	logFormat       string
	terms           actors.Terms
	confirmations   int
	maxConnections  int
	queue           int
	requestTimeout  time.Duration
	commandTimeout  time.Duration
	snapshotBytes   int
	segmentBytes    int
	passivateAfter  time.Duration
	profileListen   string
	access          accessSettings
	bitcoin         bitcoinSettings
	notices         noticeSettings
}

func serveOptions(s *settings) *options {
	*s = settings{
		listen: "127.0.0.1:8080", data: "./data", demo: "auto", demoConfirm: 5 * time.Second,
		logLevel: "info", logFormat: "text", terms: actors.DefaultTerms(),
		maxConnections: 16_384, queue: 65_536, requestTimeout: 10 * time.Second, commandTimeout: 10 * time.Second,
		snapshotBytes: 256 << 20, segmentBytes: 20 << 20, passivateAfter: time.Minute,
	}
	s.confirmations = int(s.terms.Confirmations)
	o := newOptions("serve", "Run the service until SIGTERM or SIGINT. The operator's key is read from the\nfile named by --operator-key-file, or from "+operatorKeyVariable+".")
	o.text(&s.listen, "listen", "address to serve HTTP on, as HOST:PORT")
	o.text(&s.data, "data", "directory of the log; one process at a time")
	o.Var(demoFlag{&s.demo}, "demo", "simulate Bitcoin and let users deposit to themselves: true, false, or auto, which is true on a loopback address only; what -data is of stays for ever")
	o.duration(&s.demoConfirm, "demo-confirm-after", time.Millisecond, 24*time.Hour, "how long a payment takes to be confirmed in demo mode")
	o.text(&s.operatorKeyFile, "operator-key-file", "file of operator keys, one NAME:ROLE:KEY a line, where ROLE is read, operate or admin, and admin if it is left out; without it operators are refused")
	s.access.options(o)
	o.choice(&s.logLevel, "log-level", []string{"debug", "info", "warn", "error"}, "least severe log lines to write")
	o.choice(&s.logFormat, "log-format", []string{"text", "json"}, "form of log lines")
	o.money(&s.terms.Rate, "rate", 1, account.MaxMoney, "AITBC for one BTC")
	o.percent(&s.terms.FeePPM, "fee", "percent of its BTC value that a buy or a sale costs")
	o.money(&s.terms.WithdrawalFee, "withdrawal-fee", 0, account.MaxMoney, "AITBC that a withdrawal costs on top of its amount")
	o.money(&s.terms.MinPayment, "min-payment", 1, account.MaxMoney, "smallest payment in BTC, fee included")
	o.money(&s.terms.MaxPayment, "max-payment", 1, account.MaxMoney, "largest payment in BTC, fee included")
	o.duration(&s.terms.PaymentLifetime, "payment-timeout", time.Second, 30*24*time.Hour, "how long a payment may be paid")
	o.duration(&s.terms.SessionLifetime, "session-lifetime", time.Second, 30*24*time.Hour, "how long a login lasts")
	o.duration(&s.terms.SessionIdle, "session-idle", 0, 30*24*time.Hour, "how long a session may go unused before it ends, and at most 5 min more; 0 for as long as a login lasts")
	o.integer(&s.confirmations, "confirmations", 1, 1000, "blocks that make a payment final")
	o.integer(&s.maxConnections, "max-connections", 1, 1_000_000, "connections served at once; more are answered 503")
	o.integer(&s.queue, "queue", 1, 10_000_000, "changes that may wait to be written; more are answered 503")
	o.duration(&s.requestTimeout, "request-timeout", time.Millisecond, time.Hour, "how long a client may take to send a request, or to read its response")
	o.duration(&s.commandTimeout, "command-timeout", time.Millisecond, time.Hour, "how long a request waits for its change to be durable")
	o.text(&s.profileListen, "profile-listen", "loopback address to serve Go's profiles on (/debug/pprof/); off when not given")
	o.integer(&s.snapshotBytes, "snapshot-bytes", 0, 1<<40, "bytes that the log grows by before a snapshot is taken; 0 takes none but on SIGUSR1 and for the operator")
	o.integer(&s.segmentBytes, "segment-bytes", 1<<10, 1<<30, "size at which a file of the log ends and the next begins; the last is held in memory, and a snapshot leaves room for one on the disk")
	s.safeguardOptions(o)
	s.bitcoin.addTo(o)
	s.notices.options(o)
	o.duration(&s.passivateAfter, "passivate-after", time.Millisecond, 24*time.Hour, "how long a user is idle before the memory to serve them is given back")
	return o
}

// demoFlag is --demo: a switch with a third position.
type demoFlag struct{ target *string }

func (f demoFlag) String() string {
	if f.target == nil {
		return ""
	}
	return *f.target
}

func (f demoFlag) Set(s string) error {
	switch strings.ToLower(s) {
	case "true", "on", "1", "yes":
		*f.target = "true"
	case "false", "off", "0", "no":
		*f.target = "false"
	case "auto":
		*f.target = "auto"
	default:
		return errors.New("want true, false or auto")
	}
	return nil
}

func (f demoFlag) IsBoolFlag() bool { return true }

// check finds what no single option shows, and decides about demo mode.
func (s *settings) check() (demo bool, err error) {
	if _, _, err := net.SplitHostPort(s.listen); err != nil {
		return false, &usageError{fmt.Sprintf("invalid value %q for flag -listen: want HOST:PORT, such as 127.0.0.1:8080", s.listen)}
	}
	if s.terms.MinPayment > s.terms.MaxPayment {
		return false, &usageError{fmt.Sprintf("-min-payment %s is more than -max-payment %s", s.terms.MinPayment, s.terms.MaxPayment)}
	}
	s.terms.Confirmations = uint32(s.confirmations)
	if s.profileListen != "" && !isLoopback(s.profileListen) {
		return false, &usageError{fmt.Sprintf("invalid value %q for flag -profile-listen: want HOST:PORT with a loopback address, such as 127.0.0.1:6060", s.profileListen)}
	}
	if err := s.bitcoin.check(s.access.bitcoinNetwork); err != nil {
		return false, err
	}
	if err := s.notices.check(); err != nil {
		return false, err
	}
	if s.demo == "true" && s.bitcoin.rpc != "" {
		return false, &usageError{"-demo simulates Bitcoin: leave it out, or -bitcoin-rpc"}
	}
	demo = s.demo == "true" || (s.demo == "auto" && s.bitcoin.rpc == "" && isLoopback(s.listen))
	s.checkSafeguards(demo)
	return demo, s.access.check(s.listen, demo)
}

// isLoopback reports whether address, HOST:PORT, can be reached from this machine
// alone.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || (ip != nil && ip.IsLoopback()))
}

func serve(args []string, env func(string) string, stdout, stderr io.Writer) error {
	var s settings
	if err := serveOptions(&s).parse(args, env, stdout); err != nil {
		return err
	}
	demo, err := s.check()
	if err != nil {
		return err
	}
	keys, err := s.operatorKeys(env(operatorKeyVariable))
	if err != nil {
		return err
	}
	log := s.logger(stderr)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return s.run(ctx, demo, keys, terminal(stderr), log)
}

// run serves until ctx is done or the journal fails. bar is where recovery shows
// how far it is, nil for log lines.
func (s *settings) run(ctx context.Context, demo bool, keys []httpapi.OperatorKey, bar io.Writer, log *slog.Logger) (err error) {
	node, err := s.bitcoin.node(ctx, log)
	if err != nil {
		return err
	}
	hook, err := s.notices.webhook(log)
	if err != nil {
		return err
	}
	store, err := local.Open(local.Config{Dir: s.data, SegmentBytes: s.segmentBytes, Logger: log})
	if err != nil {
		return err
	}
	journal, err := persistence.Open(persistence.Config{Log: store, Snapshots: store, MaxQueuedRecords: s.queue, Logger: log})
	if err != nil {
		return errors.Join(err, store.Close())
	}
	audit, err := openAudit(s.data, s.commandTimeout, log)
	if err != nil {
		return errors.Join(err, journal.Close())
	}
	copied, err := copyOf(s.data)
	if err != nil {
		return errors.Join(err, audit.close(false, true), journal.Close())
	}
	ran := false
	defer func() { err = errors.Join(err, audit.close(ran, err == nil)) }()
	var chain actors.Chain
	switch {
	case node != nil:
		chain = actors.NewBitcoinChain(actors.BitcoinConfig{Node: node, Keys: s.bitcoin.keys, Poll: s.bitcoin.poll, Logger: log})
	case demo:
		chain = actors.NewSimulatedChain(s.demoConfirm, s.terms.Confirmations, rand.Reader)
	}
	rate, stopFeed := s.bitcoin.feed(log)
	defer stopFeed()
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot serve on -listen %s: %w", s.listen, err), journal.Close())
	}
	origins, err := s.access.origins(listenedOn(s.listen, listener))
	if err != nil {
		return errors.Join(err, listener.Close(), journal.Close())
	}
	factors, err := s.access.factors.config(s.data, origins, log)
	if err != nil {
		return errors.Join(err, listener.Close(), journal.Close())
	}
	mailer, err := s.notices.mail(origins[0], log)
	if err != nil {
		return errors.Join(err, listener.Close(), journal.Close())
	}
	exchange := actors.New(actors.Config{
		Journal: journal, Terms: s.terms, Chain: chain, Identity: s.identity(demo), Copy: copied, FirstIndex: uint32(s.bitcoin.firstIndex),
		Faucet: demo, Policy: s.bitcoin.policy(), Rate: rate, Factors: factors, Webhook: hook, Mail: mailer, Audit: audit.AuditLog,
		RecoveryDelay:  s.notices.recoveryDelay,
		CommandTimeout: s.commandTimeout, SnapshotBytes: int64(s.snapshotBytes), PassivateAfter: s.passivateAfter,
		Logger: log, Random: rand.Reader,
	})
	defer snapshotOnSignal(exchange, log)() // from now on: by itself the signal would end the process
	server, err := s.server(ctx, listener, exchange, demo, keys, log)
	if err != nil {
		return errors.Join(err, listener.Close(), journal.Close())
	}
	if s.profileListen != "" {
		stopProfiles, err := serveProfiles(s.profileListen, log)
		if err != nil {
			return errors.Join(err, listener.Close(), journal.Close())
		}
		defer stopProfiles()
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	dir, _ := filepath.Abs(s.data)
	log.Info("starting", slog.String("version", versionString()), slog.String("listen", listener.Addr().String()),
		slog.String("data", dir), slog.Bool("demo", demo), slog.String("auth", s.access.auth),
		slog.Bool("tls", s.access.tlsCert != ""), slog.Int("operators", len(keys)))
	if demo {
		log.Warn("DEMO MODE: users deposit to themselves, and Bitcoin is simulated; serve with --demo=false where money is real")
	}
	if s.access.auth == "open" {
		log.Warn("OPEN LOGIN: a wallet's address is all that it takes to be its owner; serve with --auth signed where that matters")
	}

	recovered := tuneCollector(ctx)
	if err := s.recover(ctx, exchange, server, bar, log); err != nil {
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		return errors.Join(s.refusal(err, demo), listener.Close(), journal.Close())
	}
	recovered()
	if err := clearCopy(s.data, copied); err != nil {
		return errors.Join(err, s.stop(exchange, server, journal, log, true))
	}
	if err := factors.Secrets.Make(); err != nil { // nothing is encrypted with another key, or recovery had refused
		return errors.Join(err, s.stop(exchange, server, journal, log, true))
	}
	if err := audit.started(ctx); err != nil {
		return errors.Join(err, s.stop(exchange, server, journal, log, false))
	}
	ran = true
	server.SetReady()
	log.Info("ready", slog.Int("accounts", exchange.Stats().Accounts))

	var failure error
	select {
	case <-ctx.Done():
		log.Info("stopping: no new connections, finishing what is under way")
	case <-journal.Failed():
		failure = fmt.Errorf("the journal failed and nothing more can be acknowledged; restart to recover: %w", journal.Err())
	case <-audit.journal.Failed():
		failure = fmt.Errorf("the journal of the audit log failed; restart to recover: %w", audit.journal.Err())
	case err := <-served:
		failure = fmt.Errorf("HTTP server: %w", err)
	}
	return errors.Join(failure, s.stop(exchange, server, journal, log, failure == nil))
}

// server makes the HTTP front, for what is served on listener until ctx is done.
func (s *settings) server(ctx context.Context, listener net.Listener, exchange *actors.Exchange, demo bool, keys []httpapi.OperatorKey, log *slog.Logger) (*httpapi.Server, error) {
	logins, err := s.access.logins(listenedOn(s.listen, listener))
	if err != nil {
		return nil, err
	}
	secure, err := s.access.certificate(ctx, log)
	if err != nil {
		return nil, err
	}
	tokens, err := s.access.accessTokens(ctx, listenedOn(s.listen, listener), log)
	if err != nil {
		return nil, err
	}
	limits, err := s.access.limits()
	if err != nil {
		return nil, err
	}
	return httpapi.New(httpapi.Config{
		Exchange: exchange, Demo: demo, Keys: keys, Logins: logins, Limits: limits, TLS: secure, AccessTokens: tokens, Version: versionString(), Logger: log,
		MaxConnections: s.maxConnections, ReadTimeout: s.requestTimeout, WriteTimeout: s.requestTimeout,
	})
}

// listenedOn is --listen with the port that there is, which may have been given as 0.
func listenedOn(listen string, listener net.Listener) string {
	host, _, _ := net.SplitHostPort(listen)
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return net.JoinHostPort(host, port)
}

// stop answers what is under way, then closes the log. orderly is false where the
// journal has failed already, which its own error has told.
func (s *settings) stop(exchange *actors.Exchange, server *httpapi.Server, journal *persistence.Journal, log *slog.Logger, orderly bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		log.Warn("some requests were still under way", slog.Any("error", err))
	}
	exchange.Close()
	if err := journal.Close(); err != nil && orderly {
		return fmt.Errorf("closing the log: %w", err)
	}
	if orderly {
		log.Info("stopped")
	}
	return nil
}

// operatorKeys reads the keys from the file or, if none is named, from the
// environment variable.
func (s *settings) operatorKeys(key string) ([]httpapi.OperatorKey, error) {
	if s.operatorKeyFile == "" {
		if key == "" {
			return nil, nil
		}
		keys, err := httpapi.ReadOperatorKeys(strings.NewReader(key))
		if err != nil {
			return nil, &usageError{fmt.Sprintf("environment variable %s: %v", operatorKeyVariable, err)}
		}
		return keys, nil
	}
	file, err := os.Open(s.operatorKeyFile)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("-operator-key-file: %v", err)}
	}
	defer file.Close()
	keys, err := httpapi.ReadOperatorKeys(file)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("-operator-key-file %s: %v", s.operatorKeyFile, err)}
	}
	return keys, nil
}

func (s *settings) logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		panic(err) // --log-level allows only names of levels
	}
	options := &slog.HandlerOptions{Level: level}
	if s.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
