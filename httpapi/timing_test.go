//go:build !race

package httpapi

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/httpapi/walletproof/walletprooftest"
)

// The race detector makes a signature's check 30 times slower, so this runs in the pass
// of the tests that count allocations (make test).

// The time of an answer is compared in blocks, in each of which requests for users who
// exist and for those who don't take turns, so that what else the machine does
// meets both. Of a block's times the quartile counts, as disturbances only ever add; of
// the blocks' differences the median. There are as many blocks as it takes to be sure of
// that to timingBound, which a network hides: more than that is work done for one side
// only, such as a hash made slow or a write to the log, not a cache line.
const (
	timingBlock  = 20 // requests of each side in a block
	fewestBlocks = 30
	mostBlocks   = 600
	timingBound  = 50 * time.Microsecond
)

// timing is what a comparison found: how much longer it takes for who does not exist.
type timing struct {
	known, difference time.Duration
	uncertain         time.Duration // three standard errors of the difference
	blocks            int
}

func (t timing) tells() bool { return t.difference.Abs() > max(timingBound, t.uncertain) }

func (t timing) String() string {
	return fmt.Sprintf("%v, and %v ± %v more for who does not exist, of %d blocks", t.known, t.difference, t.uncertain, t.blocks)
}

// compareTimes sends requests of both sides, known and unknown, in turns.
func compareTimes(sides [2]func()) (t timing) {
	var known, differences []float64
	for t.blocks = 0; t.blocks < fewestBlocks || t.uncertain > timingBound/2 && t.blocks < mostBlocks; t.blocks++ {
		quartiles := timeBlock(sides)
		known = append(known, quartiles[0])
		differences = append(differences, quartiles[1]-quartiles[0])
		middle := medianOf(differences)
		deviations := make([]float64, len(differences))
		for i, d := range differences {
			deviations[i] = max(d-middle, middle-d)
		}
		// The standard error of a median, of a spread that is told by the median deviation.
		err := 1.2533 * 1.4826 * medianOf(deviations) / math.Sqrt(float64(len(differences)))
		t.difference, t.uncertain = time.Duration(middle), time.Duration(3*err)
	}
	t.known = time.Duration(medianOf(known))
	return t
}

// timeBlock returns the quartile of each side, in nanoseconds. Which goes first is drawn
// anew each turn.
func timeBlock(sides [2]func()) (quartiles [2]float64) {
	var times [2][]float64
	for range timingBlock {
		first := rand.IntN(2)
		for _, side := range [2]int{first, 1 - first} {
			start := time.Now()
			sides[side]()
			times[side] = append(times[side], float64(time.Since(start)))
		}
	}
	for side := range times {
		slices.Sort(times[side])
		quartiles[side] = times[side][timingBlock/4]
	}
	return quartiles
}

func medianOf(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// spin lets time pass as work does.
func spin(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
	}
}

// TestTheTimeOfAnAnswerDoesNotTellWhoExists measures what is between the socket and the
// disk. Each comparison is also made with 200 µs added to one side, which it has to find.
func TestTheTimeOfAnAnswerDoesNotTellWhoExists(t *testing.T) {
	a := startAPI(t, signedLogins(t, nil))
	thief := walletprooftest.NewWallet(t, "thief")
	const wallets = 8 // of each side, as the time of a signature depends on its numbers
	var nonces, logins, tokens [2][]*fasthttp.RequestCtx
	request := func(method, path, token, body string) *fasthttp.RequestCtx {
		ctx := &fasthttp.RequestCtx{}
		benchRequest(ctx, method, path, token, body)
		return ctx
	}
	for i := range 2 * wallets {
		side, w := i%2, walletprooftest.NewWallet(t, fmt.Sprint("timed ", i))
		raw := make([]byte, actors.TokenLength/4*3)
		for i := range raw {
			raw[i] = byte(rand.Uint32())
		}
		token := base64.RawURLEncoding.EncodeToString(raw) // of nobody
		if side == 0 {
			// The id of a user who exists, and a wrong secret.
			token = a.loginSigned(w).token[:24] + token[24:]
		}
		nonce, message := a.challenge(w)
		nonces[side] = append(nonces[side], request("POST", "/api/auth/nonce", "", `{"wallet_address":"`+w.Address+`"}`))
		logins[side] = append(logins[side], request("POST", "/api/users/login", "",
			loginBody("wallet_address", w.Address, "nonce", nonce, "signature", thief.Sign(message))))
		tokens[side] = append(tokens[side], request("GET", "/api/users/me", token, ""))
	}
	for _, c := range []struct {
		name   string
		sides  [2][]*fasthttp.RequestCtx
		status int
	}{
		{"a nonce", nonces, 200},
		{"a login with another's signature", logins, 401},
		{"a wrong token", tokens, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			send := func(side int) func() {
				next := 0
				return func() {
					ctx := c.sides[side][next%wallets]
					next++
					ctx.Response.Reset()
					a.server.serve(ctx)
					if ctx.Response.StatusCode() != c.status {
						t.Fatalf("%d %s", ctx.Response.StatusCode(), ctx.Response.Body())
					}
				}
			}
			known, unknown := send(0), send(1)
			timeBlock([2]func(){known, unknown}) // warms up
			found := compareTimes([2]func(){known, unknown})
			t.Log(found)
			if found.tells() {
				t.Error("the time tells who exists: ", found)
			}
			slower := func() { unknown(); spin(200 * time.Microsecond) }
			if planted := compareTimes([2]func(){known, slower}); !planted.tells() {
				t.Error("200 µs were not found: ", planted)
			}
		})
	}
}
