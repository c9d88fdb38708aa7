package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/aitbc/exchange/bench/peer"
)

// Names of the subjects.
const (
	exchangeName = "exchange"
	emptyName    = "empty handler"
	postgresName = "PostgreSQL"
	redisName    = "Redis"
	sqliteName   = "SQLite"
)

// subject is one thing that is measured: an HTTP server, with its database if that
// is another process, and its users.
type subject struct {
	name         string
	settings     string
	server       *process
	database     *process
	users        *population
	acknowledged int64 // deposits
	disk         *disk // nil: the processes' own count of bytes written is all there is
}

// site is a temporary directory and all that runs in it. close stops and removes
// everything.
type site struct {
	dir      string
	binary   string // the exchange, once it is built
	disk     *disk  // nil if dir's file system has none of its own
	subjects []*subject
	stops    []func()
}

// newSite makes the directory in parent, "" for the system's.
func newSite(parent string) (*site, error) {
	dir, err := os.MkdirTemp(parent, "exchange-bench-")
	if err != nil {
		return nil, err
	}
	s := &site{dir: dir}
	if d, ok := diskOf(dir); ok {
		s.disk = &d
	}
	s.stops = append(s.stops, func() { _ = os.RemoveAll(dir) })
	// Other users may pass through, to directories that are theirs.
	if err := os.Chmod(dir, 0o711); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *site) close() {
	for _, stop := range slices.Backward(s.stops) {
		stop()
	}
	s.stops = nil
}

// keep stops p when the site closes.
func (s *site) keep(p *process) *process {
	s.stops = append(s.stops, p.stop)
	return p
}

// add starts a subject and makes its users. full: for all operations, and not only
// deposits and balances. The empty handler borrows the exchange's users, which is
// added first.
func (s *site) add(ctx context.Context, name string, users int, full bool) (*subject, error) {
	made := &subject{name: name, disk: s.disk}
	var err error
	switch name {
	case exchangeName:
		err = s.startExchange(ctx, made)
	case emptyName:
		return s.addEmpty(ctx, made)
	case postgresName:
		err = s.startPostgresPeer(ctx, made)
	case redisName:
		err = s.startRedisPeer(ctx, made)
	case sqliteName:
		err = s.startSQLitePeer(ctx, made)
	default:
		err = fmt.Errorf("there is no subject %q", name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if made.users, err = populate(ctx, made.server.address, users, full); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	made.acknowledged = made.users.filled()
	s.subjects = append(s.subjects, made)
	return made, nil
}

func (s *site) startExchange(ctx context.Context, made *subject) (err error) {
	if s.binary == "" {
		if s.binary, err = build(ctx, s.dir, "exchange", "./cmd/exchange"); err != nil {
			return err
		}
	}
	// The data of a second exchange is another directory.
	data := filepath.Join(s.dir, "data"+strconv.Itoa(len(s.stops)))
	made.server, err = startServer(ctx, s.binary, "/readyz", func(address string) []string {
		return []string{"serve", "--listen", address, "--data", data, "--demo", "--log-level", "error"}
	})
	if err != nil {
		return err
	}
	s.keep(made.server)
	made.settings = "as `exchange serve` runs: every change synced before it is acknowledged"
	return nil
}

// addEmpty imitates the form of the exchange's responses.
func (s *site) addEmpty(ctx context.Context, made *subject) (*subject, error) {
	i := slices.IndexFunc(s.subjects, func(x *subject) bool { return x.name == exchangeName })
	if i < 0 {
		return nil, errors.New("the empty handler needs the exchange, to answer in its form")
	}
	exchange := s.subjects[i]
	made.users = exchange.users
	var samples peer.Samples
	for _, of := range []struct {
		op     operation
		sample *peer.Sample
	}{{deposit, &samples.Deposit}, {balance, &samples.Balance}, {history, &samples.History}, {login, &samples.Login}} {
		if made.users.among(of.op) == 0 {
			continue
		}
		var err error
		if *of.sample, err = sampleOf(exchange.server.address, made.users, of.op); err != nil {
			return nil, err
		}
		if of.op == deposit {
			exchange.acknowledged++
		}
	}
	made.settings = "fasthttp, the exchange's statuses, headers and body sizes"
	if err := s.startEmpty(ctx, made, samples); err != nil {
		return nil, err
	}
	s.subjects = append(s.subjects, made)
	return made, nil
}

func (s *site) startEmpty(ctx context.Context, made *subject, samples peer.Samples) error {
	content, err := json.Marshal(samples)
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "samples.json")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return err
	}
	return s.startPeer(ctx, made, "empty", "-samples", file)
}

// startPeer runs bench again as a peer.
func (s *site) startPeer(ctx context.Context, made *subject, arguments ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	made.server, err = startServer(ctx, self, "/", func(address string) []string {
		return append(append([]string{"peer"}, arguments...), "-listen", address)
	})
	if err != nil {
		return err
	}
	s.keep(made.server)
	return nil
}

func (s *site) startPostgresPeer(ctx context.Context, made *subject) error {
	database, connection, version, err := startPostgres(ctx, filepath.Join(s.dir, "postgres"))
	if err != nil {
		return err
	}
	made.database = s.keep(database)
	made.settings = fmt.Sprintf("%s, fasthttp, pgx, %d connections, %s", version, postgresPool, strings.Join(postgresSettings[1:], " "))
	return s.startPeer(ctx, made, "postgres", "-database", connection)
}

func (s *site) startRedisPeer(ctx context.Context, made *subject) error {
	database, socket, version, err := startRedis(ctx, filepath.Join(s.dir, "redis"))
	if err != nil {
		return err
	}
	made.database = s.keep(database)
	made.settings = fmt.Sprintf("%s, fasthttp, rueidis, appendonly yes, appendfsync always, one Lua script a change", version)
	return s.startPeer(ctx, made, "redis", "-database", socket)
}

func (s *site) startSQLitePeer(ctx context.Context, made *subject) error {
	binary, err := build(ctx, s.dir, "sqlite", "./bench/peer/sqlite")
	if err != nil {
		return err
	}
	file := filepath.Join(s.dir, "bench.sqlite")
	made.server, err = startServer(ctx, binary, "/", func(address string) []string {
		return []string{"-listen", address, "-file", file}
	})
	if err != nil {
		return err
	}
	s.keep(made.server)
	made.settings = "net/http, database/sql, WAL, synchronous=FULL, one writer, 8 readers"
	return nil
}

// check proves that what the servers acknowledged is there.
func (s *site) check(ctx context.Context) error {
	for _, x := range s.subjects {
		if x.name == emptyName {
			continue
		}
		if err := x.users.checkBalances(ctx, x.server.address, x.acknowledged); err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
	}
	return nil
}

// usage is of the subject's server and its database.
func (x *subject) usage() (usage, error) {
	roots := []int{x.server.command.Process.Pid}
	if x.database != nil {
		roots = append(roots, x.database.command.Process.Pid)
	}
	u, err := usageOf(roots...)
	if err != nil {
		return u, err
	}
	if x.disk != nil {
		if u.written, err = x.disk.written(); err != nil {
			return u, err
		}
	}
	u.allocs, err = allocsOf(x.server.address)
	return u, err
}

// warmUp is how long a subject is under the same load before it is measured.
const warmUp = 150 * time.Millisecond

// measure runs a load on the subject, which has its address and source filled in,
// and returns what it came to for one request.
func (x *subject) measure(ctx context.Context, m mix, l load) (sample, error) {
	l.address, l.source = x.server.address, m.source(x.users)
	warm := l
	warm.duration, warm.rate = min(warmUp, l.duration), 0
	before, err := warm.run(ctx)
	if err != nil {
		return sample{}, fmt.Errorf("%s, %s: %w", x.name, m.name, err)
	}
	x.acknowledged += before.deposits()
	began, err := x.usage()
	if err != nil {
		return sample{}, err
	}
	got, err := l.run(ctx)
	if err != nil {
		return sample{}, fmt.Errorf("%s, %s: %w", x.name, m.name, err)
	}
	x.acknowledged += got.deposits()
	ended, err := x.usage()
	if err != nil {
		return sample{}, err
	}
	return newSample(got, ended.since(began)), nil
}

// extraHeaders are the headers that an empty handler does not send by itself.
func extraHeaders(header []byte) (extra [][2]string) {
	for line := range bytes.Lines(header) {
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), ": ")
		if name != "Date" && name != "Content-Type" && name != "Content-Length" {
			extra = append(extra, [2]string{name, value})
		}
	}
	return extra
}

// inMemory says that dir is on a file system on which a sync costs nothing.
func inMemory(dir string) bool {
	var s unix.Statfs_t
	return unix.Statfs(dir, &s) == nil && s.Type == unix.TMPFS_MAGIC
}
