package actors

import (
	"fmt"
	"log/slog"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/bitcoin"
)

// IdentityConfig is what the data directory is to be. The first start ties it to that,
// and every later one is refused with anything else.
type IdentityConfig struct {
	Mode account.Mode
	// ModeSaid: an operator has said the mode, rather than that it follows from the
	// address to listen on.
	ModeSaid bool
	// Network is Bitcoin's. It counts in real mode alone.
	Network bitcoin.Network
	// Keys derives the addresses; nil without a node.
	Keys *bitcoin.Keys
	// Unconfirmed: the node has not said yet that it is on Network.
	Unconfirmed bool
}

// IdentityPart is a part of what a data directory is tied to.
type IdentityPart string

// The parts.
const (
	IdentityMode    IdentityPart = "mode"
	IdentityNetwork IdentityPart = "network"
	IdentityKey     IdentityPart = "key"
	IdentityOldKey  IdentityPart = "old key" // it was moved on from
	IdentityAddress IdentityPart = "address" // of a payment that the key was to derive
	IdentityUnsaid  IdentityPart = "unsaid"  // nobody has said the mode, and the accounts do not show it
)

// OtherIdentity refuses a start: the data directory is something else than was asked
// for. Nothing was changed.
type OtherIdentity struct {
	Part      IdentityPart
	Is, Asked string
	Directory string // all that it is, in words
}

func (e *OtherIdentity) Error() string {
	return fmt.Sprintf("the data is of %s, and its %s is %s where %s was asked for", e.Directory, e.Part, e.Is, e.Asked)
}

// Identity returns what the data directory is tied to, nil if it is not.
func (x *Exchange) Identity() *account.Identity {
	if state := x.cursor.durable.Load(); state != nil {
		return state.Identity
	}
	return nil
}

// DescribeIdentity says in words what a data directory is tied to.
func DescribeIdentity(i *account.Identity) string {
	switch {
	case i == nil:
		return "neither demo nor real yet"
	case i.Mode == account.DemoMode:
		return "a demo"
	case i.Network == "":
		return "a real exchange that is tied to no Bitcoin key yet"
	}
	return fmt.Sprintf("a real exchange on %s with account key %s", i.Network, i.Key().Fingerprint)
}

// KeysOf returns the keys of an identity that has some.
func KeysOf(i *account.Identity) (*bitcoin.Keys, error) {
	network, err := bitcoin.ParseNetwork(i.Network)
	if err != nil {
		return nil, fmt.Errorf("the network %q of the data: %w", i.Network, err)
	}
	if account.ChainHash(network.Genesis()) != i.Genesis {
		return nil, fmt.Errorf("the data is of another %s, which begins with block %s", i.Network, i.Genesis)
	}
	var keys *bitcoin.Keys
	for n := range i.Keys {
		key := &i.Keys[n]
		next, err := bitcoin.ParseKeys(key.Text, network)
		switch {
		case err != nil:
			return nil, fmt.Errorf("account key %s of the data: %w", key.Fingerprint, err)
		case keys == nil:
			keys = next
		default:
			keys = keys.Then(next, key.External, key.Change)
		}
	}
	return keys, nil
}

// evidence is what the accounts of a directory that is tied to nothing yet show.
type evidence struct {
	accounts  int
	derived   int            // payments to addresses of an extended key
	simulated int            // payments to addresses of nobody
	faucet    int            // deposits of users to themselves
	credited  account.Money  // by both; at most account.MaxMoney
	other     *OtherIdentity // a derived address is not that of the key
}

// isTied reports whether the accounts have nothing to add to the identity.
func (x *Exchange) isTied() bool {
	asked, is := x.cfg.Identity, x.Identity()
	return asked == nil || (is != nil && (is.Network != "" || asked.Keys == nil))
}

// look gathers what users show. Recovery calls it for several parts of them at once.
func (e *evidence) look(x *Exchange, users []*user) {
	for _, u := range users {
		state := u.durable.Load()
		e.accounts++
		if state.Counts.Of(account.TypeDeposit, 0) > 0 {
			for _, t := range state.History.Backward(1, state.History.Last(), account.TypeDeposit, 0) {
				if t.Detail == nil || t.Detail.By == "" {
					e.faucet++
					e.credit(t.Amount)
				}
			}
		}
		if state.Counts.Of(account.TypeBuy, 0) == 0 {
			continue
		}
		for n, t := range state.History.Backward(1, state.History.Last(), account.TypeBuy, 0) {
			if !t.Detail.Derived {
				e.simulated++
				e.credit(t.Credited())
				continue
			}
			e.derived++
			if keys := x.cfg.Identity.Keys; keys != nil && e.other == nil {
				if address, err := keys.Address(t.Detail.Index); err != nil || address != t.Detail.To {
					payment := account.TransactionID{User: u.id, N: n}
					e.other = &OtherIdentity{
						Part: IdentityAddress, Directory: fmt.Sprintf("a real exchange whose payment %s has address %d, %s", payment, t.Detail.Index, t.Detail.To),
						Is: t.Detail.To, Asked: fmt.Sprintf("%s of %s on %s", address, keys, keys.Network()),
					}
				}
			}
		}
	}
}

// credit adds to what was credited, of which no more than account.MaxMoney is told.
func (e *evidence) credit(amount account.Money) {
	e.credited += min(amount, account.MaxMoney-e.credited)
}

func (e *evidence) join(other evidence) {
	e.accounts += other.accounts
	e.derived += other.derived
	e.simulated += other.simulated
	e.faucet += other.faucet
	e.credit(other.credited)
	if e.other == nil {
		e.other = other.other
	}
}

// modeOf returns the mode that the accounts show; none if they show none.
func (x *Exchange) modeOf(e *evidence) account.Mode {
	system := x.cursor.durable.Load()
	isReal := e.derived > 0 || (system != nil && (system.Trail != nil || system.Payouts != nil))
	isDemo := e.faucet > 0 || e.simulated > 0
	switch {
	case isReal:
		if isDemo {
			x.log.Error("ALERT: this data is of a real exchange that was started in demo mode once: value was made that nobody paid for",
				slog.Int("deposits_to_oneself", e.faucet), slog.Int("simulated_payments", e.simulated), slog.String("aitbc", e.credited.String()))
		}
		return account.RealMode
	case isDemo:
		return account.DemoMode
	}
	return 0
}

// identify compares what the directory is tied to with what was asked for, and returns
// what is to be written of it, nil if that is nothing. From then on x.keys has the keys
// of all addresses. Its error may be an *OtherIdentity.
func (x *Exchange) identify(found *evidence) (*account.SetIdentity, error) {
	asked, is := x.cfg.Identity, x.Identity()
	if asked == nil {
		return nil, nil
	}
	set := &account.SetIdentity{Mode: asked.Mode}
	if is == nil {
		mode := x.modeOf(found)
		switch {
		case mode == 0 && found.accounts > 0 && asked.Mode == account.DemoMode && !asked.ModeSaid:
			return nil, &OtherIdentity{Part: IdentityUnsaid, Directory: DescribeIdentity(nil), Is: "not said", Asked: asked.Mode.String()}
		case mode == 0:
			mode = asked.Mode
		}
		is = &account.Identity{Mode: mode}
	}
	other := func(part IdentityPart, held, asked string) error {
		return &OtherIdentity{Part: part, Directory: DescribeIdentity(is), Is: held, Asked: asked}
	}
	switch {
	case is.Mode != asked.Mode:
		return nil, other(IdentityMode, is.Mode.String(), asked.Mode.String())
	case is.Mode == account.DemoMode:
		return set, nil
	case is.Network == "" && asked.Keys == nil:
		return set, nil
	case is.Network == "" && found.other != nil:
		return nil, found.other
	case is.Network == "" && asked.Unconfirmed && found.derived == 0: // else a mistake would stay
		return nil, fmt.Errorf("%w: it has to say once that it is on %s, which the data is tied to from then on; start again when it answers", ErrNodeDown, asked.Network)
	case is.Network == "":
		x.keys = asked.Keys
		set.Network, set.Genesis = asked.Network.String(), account.ChainHash(asked.Network.Genesis())
		set.Key = account.ExtendedKey{Fingerprint: asked.Keys.Fingerprint(), Text: asked.Keys.Text()}
		return set, nil
	case is.Network != asked.Network.String():
		return nil, other(IdentityNetwork, is.Network, asked.Network.String())
	}
	keys, err := KeysOf(is)
	switch {
	case err != nil:
		return nil, err
	case asked.Keys == nil:
		x.log.Warn("no Bitcoin node is configured: nobody can buy, and what is paid to the addresses that were given out is not seen")
	case keys.Same(asked.Keys):
		keys = keys.WithNewest(asked.Keys) // whose origin may have been given better
	case keys.Has(asked.Keys):
		return nil, other(IdentityOldKey, is.Key().Fingerprint.String(), account.KeyFingerprint(asked.Keys.Fingerprint()).String())
	default:
		return nil, other(IdentityKey, is.Key().Fingerprint.String(), account.KeyFingerprint(asked.Keys.Fingerprint()).String())
	}
	x.keys = keys
	return nil, nil
}

// tie makes durable what identify returned, before anything is served.
func (x *Exchange) tie(set *account.SetIdentity) error {
	if set == nil {
		return nil
	}
	before := x.Identity()
	if _, err := x.do(x.cursor, set, nil); err != nil {
		return fmt.Errorf("the identity of the data could not be written: %w", err)
	}
	if is := x.Identity(); is != before {
		x.log.Info("the data directory is tied", slog.String("to", DescribeIdentity(is)))
	}
	return nil
}

// MoveKey has addresses derived from the newest key of next from now on, and returns
// where that begins: at index first, or above every index of the log, whichever is more.
// It is for the data of a stopped service, after RecoverStopped:
// a running one has handed addresses to requests that are under way. What was paid to
// the addresses of earlier keys is still seen, credited and spent.
func (x *Exchange) MoveKey(next *bitcoin.Keys, first uint32, by string) (account.ExtendedKey, error) {
	is := x.Identity()
	fingerprint := account.KeyFingerprint(next.Fingerprint())
	switch {
	case is.Key() == nil:
		return account.ExtendedKey{}, fmt.Errorf("the data is of %s: there is no key to move on from; start the service with its first key once", DescribeIdentity(is))
	case is.Network != next.Network().String():
		return account.ExtendedKey{}, fmt.Errorf("the data is of %s, and the key is to be of %s", DescribeIdentity(is), next.Network())
	}
	keys, err := KeysOf(is)
	switch {
	case err != nil:
		return account.ExtendedKey{}, err
	case keys.Same(next):
		return account.ExtendedKey{}, fmt.Errorf("account key %s is in use already", fingerprint)
	case keys.Has(next):
		return account.ExtendedKey{}, fmt.Errorf("account key %s was moved on from before: each key is used for one range of addresses, so take a fresh one", fingerprint)
	}
	key := account.ExtendedKey{
		Fingerprint: fingerprint, Text: next.Text(),
		External: max(first, x.nextIndex()),
	}
	receipt, err := x.do(x.cursor, &account.MoveKey{Key: key, By: by}, nil)
	if err != nil {
		return account.ExtendedKey{}, err
	}
	return *receipt.State.Identity.Key(), nil
}
