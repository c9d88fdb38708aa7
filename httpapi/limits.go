package httpapi

import (
	"crypto/sha256"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/httpapi/throttle"
)

// Limits are how often one client or account may ask. A policy with a Count of 0
// limits nothing.
type Limits struct {
	Address throttle.Policy // requests of a client's address
	Account throttle.Policy // requests of an account's sessions
	Login   throttle.Policy // nonces, failed logins and wrong factors of an address; logins of an account
	Factor  throttle.Policy // wrong factors of a session; an account has three times as many of codes
	Proxies throttle.Proxies
}

// limiters are the Limits at work. A nil one limits nothing.
type limiters struct {
	address, account, login, factor, accountFactor *throttle.Limiter
}

func newLimiters(l *Limits) (*limiters, error) {
	made := &limiters{}
	accountFactor := throttle.Policy{}
	if l.Factor.Count > 0 {
		accountFactor = accountFactorPolicy(l.Factor)
	}
	for _, policy := range []struct {
		throttle.Policy
		to **throttle.Limiter
	}{{l.Address, &made.address}, {l.Account, &made.account}, {l.Login, &made.login}, {l.Factor, &made.factor}, {accountFactor, &made.accountFactor}} {
		if policy.Count == 0 {
			continue
		}
		limiter, err := throttle.New(policy.Policy, 0)
		if err != nil {
			return nil, fmt.Errorf("limit of requests: %w", err)
		}
		*policy.to = limiter
	}
	return made, nil
}

// take lets the request pass if limiter has a token for key, and otherwise refuses it.
// What is left stands in the response's header either way.
func (r *request) take(limiter *throttle.Limiter, key throttle.Key) *Problem {
	if limiter == nil {
		return nil
	}
	return r.takeCost(limiter, key, 1)
}

func (r *request) takeCost(limiter *throttle.Limiter, key throttle.Key, cost int) *Problem {
	verdict := limiter.Take(key, cost, r.start)
	if len(r.limit) > 0 {
		r.limit, r.policy = append(r.limit, ',', ' '), append(r.policy, ',', ' ')
	}
	r.limit, r.policy = limiter.AppendLimit(r.limit, verdict), limiter.AppendPolicy(r.policy)
	if verdict.Allowed {
		return nil
	}
	return &Problem{Status: fasthttp.StatusTooManyRequests, Code: "rate_limited", Title: "Too many requests",
		Detail: "too many requests of this address or account; the limit is in the header RateLimit-Policy", RetryAfter: int(verdict.RetryAfter())}
}

// takeAddress counts a request of the client's address.
func (r *request) takeAddress(limiter *throttle.Limiter) *Problem {
	if limiter == nil {
		return nil
	}
	return r.take(limiter, throttle.AddressKey(r.client()))
}

// client returns the address that the request came from: the connection's, or what a
// trusted proxy says.
func (r *request) client() netip.Addr {
	var remote netip.Addr
	if tcp, ok := r.ctx.RemoteAddr().(*net.TCPAddr); ok {
		remote = tcp.AddrPort().Addr()
	}
	if proxies := &r.server.cfg.Limits.Proxies; proxies.Field != "" {
		return proxies.Client(remote, r.ctx.Request.Header.PeekAll(string(proxies.Field))...)
	}
	return remote
}

// clientText is a client's address for a person to read, "" if it is not known.
func clientText(client netip.Addr) string {
	if !client.IsValid() {
		return ""
	}
	return client.Unmap().WithZone("").String()
}

// walletKey is the key of a wallet's account, which may not exist yet.
func walletKey(wallet string) throttle.Key {
	sum := sha256.Sum256([]byte(wallet))
	return throttle.Key(sum[:16])
}

// giveLogin takes back that a login counted for the client's address: it succeeded,
// so it was no guess.
func (r *request) giveLogin() {
	if limiter := r.server.limits.login; limiter != nil {
		limiter.Give(throttle.AddressKey(r.client()), 1)
	}
}

// The header fields of limits, in the form that fasthttp need not make canonical.
var (
	headerPolicy = []byte(throttle.PolicyHeader)
	headerLimit  = []byte(throttle.LimitHeader)
)

func (r *request) writeLimits(h *fasthttp.ResponseHeader) {
	if len(r.limit) > 0 {
		h.SetCanonical(headerPolicy, r.policy)
		h.SetCanonical(headerLimit, r.limit)
	}
}

// PerMinute is a policy of count requests a minute, of which a fifth may come at once.
func PerMinute(name string, count int) throttle.Policy {
	return throttle.Policy{Name: name, Count: count, Per: time.Minute, Burst: min(count, max(10, count/5))}
}
