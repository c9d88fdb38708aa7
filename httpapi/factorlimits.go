package httpapi

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/VictoriaMetrics/metrics"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/secondfactor"
	"github.com/aitbc/exchange/httpapi/throttle"
)

// accountFactors is how many times the wrong factors of one session an account may have
// of codes. A thief of one session uses up the session's, and leaves the owner, who has
// another, most of the account's: nobody is locked out by somebody else's guesses, and
// what a guesser may try in all is bounded. Recovery codes and passkeys can't be guessed,
// so they count for the session alone, and hold where the codes are used up.
const accountFactors = 3

// FactorsPerHour is a policy of count wrong factors an hour, of which half may come at
// once.
func FactorsPerHour(name string, count int) throttle.Policy {
	p := PerMinute(name, count)
	p.Per *= 60
	p.Burst = (count + 1) / 2
	return p
}

// accountFactorPolicy is that of an account's codes where p is a session's factors.
func accountFactorPolicy(p throttle.Policy) throttle.Policy {
	p.Name += "-account"
	p.Count, p.Burst = accountFactors*p.Count, accountFactors*p.Burst
	return p
}

// factorTake is what one attempt counts for.
type factorTake struct {
	limiter *throttle.Limiter
	key     throttle.Key
}

// tryFactor counts an attempt at the limits before the factor is looked at, so that many
// at once are no more than many in a row, and takes that back unless the factor was
// wrong.
func (s *Server) tryFactor(r *request, factor account.FactorKinds, try func() (actors.Rotated, error)) (actors.Rotated, error) {
	kind := factor.Names()[0]
	var session throttle.Key
	id, user := r.session.ID(), r.session.UserID()
	copy(session[:], id[:])
	copy(session[len(id):], user[:])
	takes := []factorTake{{s.limits.login, throttle.AddressKey(r.client())}, {s.limits.factor, session}}
	if factor == account.FactorTOTP {
		takes = append(takes, factorTake{s.limits.accountFactor, throttle.Key(user)})
	}
	for i, t := range takes {
		if p := r.take(t.limiter, t.key); p != nil {
			giveFactors(takes[:i])
			s.metrics.factor(kind, "limited").Inc()
			return actors.Rotated{}, p
		}
	}
	rotated, err := try()
	if err == nil {
		s.metrics.factor(kind, "held").Inc()
		giveFactors(takes)
		return rotated, nil
	}
	var refused *account.Error
	wrong := errors.Is(err, secondfactor.ErrRefused) || errors.As(err, &refused) && refused.Code == account.CodeFactorRefused
	if !wrong {
		giveFactors(takes)
		return rotated, err
	}
	s.metrics.factor(kind, "refused").Inc()
	reason := err.Error()
	s.log.Info("second factor refused", slog.String("request_id", string(r.id)), slog.String("user_id", user.String()),
		slog.String("client", r.client().String()), slog.String("factor", kind), slog.String("reason", reason[:min(len(reason), maxLoggedReason)]))
	return rotated, factorRefused()
}

func giveFactors(takes []factorTake) {
	for _, t := range takes {
		if t.limiter != nil {
			t.limiter.Give(t.key, 1)
		}
	}
}

// factor counts attempts at second factors.
func (m *metricSet) factor(kind, result string) *metrics.Counter {
	return m.set.GetOrCreateCounter(fmt.Sprintf("exchange_second_factors_total{factor=%q,result=%q}", kind, result))
}
