package peer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// postgres is a Store over PostgreSQL. Every operation is one prepared statement,
// so one round trip and one transaction.
type postgres struct{ pool *pgxpool.Pool }

// The fill factor leaves room in each page for the next version of a row, so that
// an update of the balance touches no index.
const postgresSchema = `
create table users (
	id uuid primary key,
	wallet text not null unique,
	balance bigint not null default 0 check (balance >= 0),
	entries bigint not null default 0,
	created_at timestamptz not null default now(),
	balance_at timestamptz
) with (fillfactor = 50);
create table sessions (
	hash bytea primary key,
	user_id uuid not null,
	expires_at timestamptz not null
);
create table transactions (
	user_id uuid not null,
	n bigint not null,
	amount bigint not null,
	created_at timestamptz not null,
	primary key (user_id, n)
);`

const (
	postgresLogin = `
with u as (
	insert into users (id, wallet) values ($1, $2)
	on conflict (wallet) do update set wallet = excluded.wallet
	returning id, created_at
), s as (
	insert into sessions (hash, user_id, expires_at) select $3, id, now() + $4 from u
)
select id, created_at from u`
	postgresDeposit = `
with u as (
	update users set balance = balance + $3, entries = entries + 1, balance_at = now()
	where id = $2 and exists (select from sessions where hash = $1 and user_id = $2 and expires_at > now())
	returning id, entries, balance_at
)
insert into transactions (user_id, n, amount, created_at)
select id, entries, $3, balance_at from u
returning n, created_at`
	postgresBalance = `
select u.balance, u.balance_at from sessions s join users u on u.id = s.user_id
where s.hash = $1 and s.user_id = $2 and s.expires_at > now()`
	// Without a transaction the one row has nulls.
	postgresHistory = `
select u.entries, t.n, t.amount, t.created_at from sessions s join users u on u.id = s.user_id
left join lateral (
	select n, amount, created_at from transactions where user_id = u.id order by n desc limit $3
) t on true
where s.hash = $1 and s.user_id = $2 and s.expires_at > now()`
)

// Postgres connects to the server with so many connections, and makes the tables.
func Postgres(ctx context.Context, settings string, connections int) (Store, error) {
	config, err := pgxpool.ParseConfig(settings)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = int32(connections), int32(connections)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	if _, err := pool.Exec(ctx, postgresSchema); err != nil {
		return nil, fmt.Errorf("making tables: %w", err)
	}
	return &postgres{pool}, nil
}

func (p *postgres) Login(ctx context.Context, wallet string, session Session) (id uuid.UUID, created time.Time, err error) {
	err = p.pool.QueryRow(ctx, postgresLogin, uuid.New(), wallet, session[:], SessionLifetime).Scan(&id, &created)
	return id, created, err
}

func (p *postgres) Deposit(ctx context.Context, session Session, user uuid.UUID, amount int64) (n int64, at time.Time, err error) {
	err = p.pool.QueryRow(ctx, postgresDeposit, session[:], user, amount).Scan(&n, &at)
	return n, at, noSession(err)
}

func (p *postgres) Balance(ctx context.Context, session Session, user uuid.UUID) (int64, time.Time, error) {
	var balance int64
	var at *time.Time
	err := p.pool.QueryRow(ctx, postgresBalance, session[:], user).Scan(&balance, &at)
	if err != nil || at == nil {
		return balance, time.Time{}, noSession(err)
	}
	return balance, *at, nil
}

func (p *postgres) History(ctx context.Context, session Session, user uuid.UUID, limit int) (entries []Entry, total int64, err error) {
	rows, err := p.pool.Query(ctx, postgresHistory, session[:], user, limit)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	found := false
	for rows.Next() {
		found = true
		var n, amount *int64
		var at *time.Time
		if err := rows.Scan(&total, &n, &amount, &at); err != nil {
			return nil, 0, err
		}
		if n != nil {
			entries = append(entries, Entry{*n, *amount, *at})
		}
	}
	if err := rows.Err(); err != nil {
		return nil, 0, err
	}
	if !found {
		return nil, 0, ErrSession
	}
	return entries, total, nil
}

func noSession(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrSession
	}
	return err
}
