package main

import (
	"errors"
	"time"

	"github.com/aitbc/exchange/actors/account"
)

// automatic is a duration that depends on other options.
const automatic time.Duration = -1

// defaultCoolingOff leaves an owner a day to notice an address that is not theirs.
const defaultCoolingOff = 24 * time.Hour

// safeguardOptions are those about value that leaves.
func (s *settings) safeguardOptions(o *options) {
	s.terms.AddressCoolingOff = automatic
	o.Var(value[time.Duration]{&s.terms.AddressCoolingOff, func(text string) (time.Duration, error) {
		if text == "auto" {
			return automatic, nil
		}
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d > 30*24*time.Hour {
			return 0, errors.New("want auto or a duration up to 720h, such as 24h")
		}
		return d, nil
	}, func(d time.Duration) string {
		if d == automatic {
			return "auto"
		}
		return d.String()
	}}, "address-cooling-off", "how long an address has to be in a user's book before withdrawals and sales may go there, and to no other; 0 lets them go anywhere; auto is 0 in demo mode and 24h elsewhere")
	o.money(&s.terms.DailyLimit, "withdrawal-daily-limit", 0, account.MaxMoney, "AITBC that a user's withdrawals and sales may come to in any 24 hours; 0 for no limit")
	o.money(&s.terms.FourEyesAbove, "four-eyes-above", 0, account.MaxMoney, "AITBC above which a withdrawal or sale takes two operators, one to approve and another to complete it; 0 for one at any amount")
}

// checkSafeguards fills in what depends on demo mode.
func (s *settings) checkSafeguards(demo bool) {
	if s.terms.AddressCoolingOff == automatic {
		s.terms.AddressCoolingOff = defaultCoolingOff
		if demo {
			s.terms.AddressCoolingOff = 0
		}
	}
}
