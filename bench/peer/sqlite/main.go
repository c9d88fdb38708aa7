// Command sqlite is the SQLite peer: net/http and database/sql, the shape of the
// system that the exchange replaces. It is a command of its own because SQLite
// takes longer to compile than a quick run of bench takes in all.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/aitbc/exchange/bench/peer"
)

func main() {
	listen := flag.String("listen", "", "address to serve HTTP on")
	file := flag.String("file", "", "the database")
	flag.Parse()
	if err := run(*listen, *file); err != nil {
		fmt.Fprintln(os.Stderr, "sqlite:", err)
		os.Exit(1)
	}
}

func run(listen, file string) error {
	store, err := open(file)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp4", listen)
	if err != nil {
		return err
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		status, answer := peer.Answer(r.Context(), store, r.Method == http.MethodPost, []byte(r.URL.Path), []byte(r.Header.Get("X-Session-Token")), body)
		h := w.Header()
		for _, header := range peer.Headers {
			h.Set(header[0], header[1])
		}
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(answer)))
		w.WriteHeader(status)
		_, _ = w.Write(answer)
	}
	return http.Serve(listener, http.HandlerFunc(handler))
}

// store has one connection that writes, because SQLite has one writer at a time
// and a queue in front of it is better than its busy loop, and a few that read.
type store struct {
	writer                          *sql.DB
	insertUser, findUser, addToken  *sql.Stmt // of the writer
	checkSession, addAmount, addTxn *sql.Stmt // of the writer
	balance, history                *sql.Stmt // of the readers
}

// Every commit is synced: synchronous FULL is what makes WAL durable.
const pragmas = "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_pragma=cache_size(-65536)&_txlock=immediate"

const schema = `
create table users (
	id blob primary key, wallet text not null unique, balance integer not null default 0,
	entries integer not null default 0, created_at integer not null, balance_at integer not null default 0
) without rowid;
create table sessions (hash blob primary key, user_id blob not null, expires_at integer not null) without rowid;
create table transactions (
	user_id blob not null, n integer not null, amount integer not null, created_at integer not null,
	primary key (user_id, n)
) without rowid;`

func open(file string) (*store, error) {
	writer, err := sql.Open("sqlite", "file:"+file+pragmas)
	if err != nil {
		return nil, err
	}
	writer.SetMaxOpenConns(1)
	if _, err := writer.Exec(schema); err != nil {
		return nil, err
	}
	readers, err := sql.Open("sqlite", "file:"+file+pragmas)
	if err != nil {
		return nil, err
	}
	readers.SetMaxOpenConns(8)
	readers.SetMaxIdleConns(8)
	s := &store{writer: writer}
	for _, p := range []struct {
		statement **sql.Stmt
		db        *sql.DB
		text      string
	}{
		{&s.insertUser, writer, `insert into users (id, wallet, created_at) values (?, ?, ?) on conflict do nothing`},
		{&s.findUser, writer, `select id, created_at from users where wallet = ?`},
		{&s.addToken, writer, `insert into sessions (hash, user_id, expires_at) values (?, ?, ?)`},
		{&s.checkSession, writer, `select 1 from sessions where hash = ? and user_id = ? and expires_at > ?`},
		{&s.addAmount, writer, `update users set balance = balance + ?, entries = entries + 1, balance_at = ? where id = ? returning entries`},
		{&s.addTxn, writer, `insert into transactions (user_id, n, amount, created_at) values (?, ?, ?, ?)`},
		{&s.balance, readers, `select u.balance, u.balance_at from sessions s join users u on u.id = s.user_id
			where s.hash = ? and s.user_id = ? and s.expires_at > ?`},
		{&s.history, readers, `select u.entries, t.n, t.amount, t.created_at from sessions s join users u on u.id = s.user_id
			left join transactions t on t.user_id = u.id
			where s.hash = ? and s.user_id = ? and s.expires_at > ? order by t.n desc limit ?`},
	} {
		if *p.statement, err = p.db.Prepare(p.text); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// write runs f in one transaction.
func (s *store) write(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (s *store) Login(ctx context.Context, wallet string, session peer.Session) (id uuid.UUID, created time.Time, err error) {
	now := time.Now()
	err = s.write(ctx, func(tx *sql.Tx) error {
		fresh := uuid.New()
		if _, err := tx.Stmt(s.insertUser).Exec(fresh[:], wallet, now.UnixMicro()); err != nil {
			return err
		}
		var found []byte
		var at int64
		if err := tx.Stmt(s.findUser).QueryRow(wallet).Scan(&found, &at); err != nil {
			return err
		}
		copy(id[:], found)
		created = time.UnixMicro(at)
		_, err := tx.Stmt(s.addToken).Exec(session[:], id[:], now.Add(peer.SessionLifetime).UnixMicro())
		return err
	})
	return id, created, err
}

func (s *store) Deposit(ctx context.Context, session peer.Session, user uuid.UUID, amount int64) (n int64, at time.Time, err error) {
	at = time.Now()
	err = s.write(ctx, func(tx *sql.Tx) error {
		var one int
		if err := tx.Stmt(s.checkSession).QueryRow(session[:], user[:], at.UnixMicro()).Scan(&one); err != nil {
			return noSession(err)
		}
		if err := tx.Stmt(s.addAmount).QueryRow(amount, at.UnixMicro(), user[:]).Scan(&n); err != nil {
			return err
		}
		_, err := tx.Stmt(s.addTxn).Exec(user[:], n, amount, at.UnixMicro())
		return err
	})
	return n, at, err
}

func (s *store) Balance(ctx context.Context, session peer.Session, user uuid.UUID) (balance int64, at time.Time, err error) {
	var changed int64
	err = s.balance.QueryRowContext(ctx, session[:], user[:], time.Now().UnixMicro()).Scan(&balance, &changed)
	if err == nil && changed != 0 {
		at = time.UnixMicro(changed)
	}
	return balance, at, noSession(err)
}

func (s *store) History(ctx context.Context, session peer.Session, user uuid.UUID, limit int) (entries []peer.Entry, total int64, err error) {
	rows, err := s.history.QueryContext(ctx, session[:], user[:], time.Now().UnixMicro(), limit)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		found = true
		var n, amount, at sql.NullInt64
		if err := rows.Scan(&total, &n, &amount, &at); err != nil {
			return nil, 0, err
		}
		if n.Valid {
			entries = append(entries, peer.Entry{N: n.Int64, Amount: amount.Int64, At: time.UnixMicro(at.Int64)})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, 0, err
	}
	if !found {
		return nil, 0, peer.ErrSession
	}
	return entries, total, nil
}

func noSession(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return peer.ErrSession
	}
	return err
}
