package peer

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/redis/rueidis"
)

// redis is a Store over Redis. A change is one script, which is atomic; a read is
// one pipeline. The client sends what waits at the same time in one write.
type redis struct{ client rueidis.Client }

// The newest history entry is the first of a list, so its number is the length.
var (
	redisLogin = rueidis.NewLuaScript(`
local id = redis.call('GET', KEYS[1])
if not id then
	id = ARGV[1]
	redis.call('SET', KEYS[1], id)
	redis.call('HSET', 'user:' .. id, 'created', ARGV[2], 'balance', 0, 'at', 0)
end
redis.call('SET', KEYS[2], id, 'EX', ARGV[3])
return {id, redis.call('HGET', 'user:' .. id, 'created')}`)
	redisDeposit = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HINCRBY', KEYS[2], 'balance', ARGV[2])
redis.call('HSET', KEYS[2], 'at', ARGV[3])
return redis.call('LPUSH', KEYS[3], ARGV[2] .. ' ' .. ARGV[3])`)
)

// Redis connects to the server at a Unix socket.
func Redis(socket string) (Store, error) {
	options, err := rueidis.ParseURL("unix://" + socket)
	if err != nil {
		return nil, err
	}
	options.DisableCache = true
	options.AlwaysPipelining = true
	client, err := rueidis.NewClient(options)
	if err != nil {
		return nil, err
	}
	return &redis{client}, nil
}

func sessionKey(session Session) string { return "session:" + rueidis.BinaryString(session[:]) }

func (r *redis) Login(ctx context.Context, wallet string, session Session) (id uuid.UUID, created time.Time, err error) {
	now := strconv.FormatInt(time.Now().UnixMicro(), 10)
	lifetime := strconv.Itoa(int(SessionLifetime.Seconds()))
	found, err := redisLogin.Exec(ctx, r.client, []string{"wallet:" + wallet, sessionKey(session)},
		[]string{uuid.NewString(), now, lifetime}).AsStrSlice()
	if err != nil {
		return id, created, err
	}
	if id, err = uuid.Parse(found[0]); err != nil {
		return id, created, err
	}
	created, err = redisTime(found[1])
	return id, created, err
}

func (r *redis) Deposit(ctx context.Context, session Session, user uuid.UUID, amount int64) (int64, time.Time, error) {
	id, now := user.String(), time.Now()
	n, err := redisDeposit.Exec(ctx, r.client, []string{sessionKey(session), "user:" + id, "history:" + id},
		[]string{id, strconv.FormatInt(amount, 10), strconv.FormatInt(now.UnixMicro(), 10)}).AsInt64()
	if err == nil && n == 0 {
		err = ErrSession
	}
	return n, now, err
}

func (r *redis) Balance(ctx context.Context, session Session, user uuid.UUID) (int64, time.Time, error) {
	id := user.String()
	answers := r.client.DoMulti(ctx,
		r.client.B().Get().Key(sessionKey(session)).Build(),
		r.client.B().Hmget().Key("user:"+id).Field("balance", "at").Build())
	if err := owns(answers[0], id); err != nil {
		return 0, time.Time{}, err
	}
	found, err := answers[1].AsStrSlice()
	if err != nil {
		return 0, time.Time{}, err
	}
	balance, err := strconv.ParseInt(found[0], 10, 64)
	if err != nil {
		return 0, time.Time{}, err
	}
	at, err := redisTime(found[1])
	return balance, at, err
}

func (r *redis) History(ctx context.Context, session Session, user uuid.UUID, limit int) ([]Entry, int64, error) {
	id := user.String()
	answers := r.client.DoMulti(ctx,
		r.client.B().Get().Key(sessionKey(session)).Build(),
		r.client.B().Llen().Key("history:"+id).Build(),
		r.client.B().Lrange().Key("history:"+id).Start(0).Stop(int64(limit)-1).Build())
	if err := owns(answers[0], id); err != nil {
		return nil, 0, err
	}
	total, err := answers[1].AsInt64()
	if err != nil {
		return nil, 0, err
	}
	lines, err := answers[2].AsStrSlice()
	if err != nil {
		return nil, 0, err
	}
	entries := make([]Entry, len(lines))
	for i, line := range lines {
		amount, at, _ := strings.Cut(line, " ")
		entries[i].N = total - int64(i)
		if entries[i].Amount, err = strconv.ParseInt(amount, 10, 64); err != nil {
			return nil, 0, fmt.Errorf("history entry %q: %w", line, err)
		}
		if entries[i].At, err = redisTime(at); err != nil {
			return nil, 0, fmt.Errorf("history entry %q: %w", line, err)
		}
	}
	return entries, total, nil
}

// owns checks what was found under a session.
func owns(found rueidis.RedisResult, id string) error {
	owner, err := found.ToString()
	if rueidis.IsRedisNil(err) || (err == nil && owner != id) {
		return ErrSession
	}
	return err
}

// redisTime reads microseconds since 1970; 0 is no time.
func redisTime(s string) (time.Time, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n == 0 {
		return time.Time{}, err
	}
	return time.UnixMicro(n), nil
}
