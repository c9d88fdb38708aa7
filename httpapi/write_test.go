package httpapi

import (
	"encoding/json"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aitbc/exchange/actors/account"
)

func TestMembersMakeAJSONObject(t *testing.T) {
	b := []byte{'{'}
	b = appendString(b, "text", "a\"\\\x00\n\xff</script>é😀{")
	b = appendString(b, "empty", "")
	b = appendStringOrNull(b, "none", "")
	b = appendStringOrNull(b, "some", "x")
	b = appendMoney(b, "money", -12_5000_0000)
	b = appendMoney(b, "most", account.MaxMoney)
	b = appendUint(b, "count", 1<<64-1)
	b = appendTime(b, "never", 0)
	b = appendTime(b, "then", 1_769_860_800_000_001)
	b = append(appendKey(b, "list"), '[', ']')
	b = appendUint(b, "last", 0)
	b = append(b, '}')
	const want = `{"text":"a\"\\\u0000\n` + "\uFFFD" + `</script>é😀{","empty":"","none":null,"some":"x","money":-12.5,"most":92233720368.54775807,` +
		`"count":18446744073709551615,"never":null,"then":"2026-01-31T12:00:00.000001Z","list":[],"last":0}`
	if string(b) != want || !json.Valid(b) {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}

func TestARatioIsExactAndCutOff(t *testing.T) {
	for _, c := range []struct {
		num, den account.Money
		places   int
		want     string
	}{
		{1, 1, 8, "1"}, {0, 5, 8, "0"}, {1, 3, 4, "0.3333"}, {2, 3, 4, "0.6666"}, {1, 8, 16, "0.125"},
		{5, 1000, 2, "0"}, {5000, 10_000, 4, "0.5"}, {100, 10, 4, "10"}, {1, 100_000, 16, "0.00001"}, {7, 2, 0, "3"},
		{account.MaxMoney, 1, 16, "9223372036854775807"}, {1, account.MaxMoney, 16, "0"},
		{1, account.MaxMoney, 19, "0.0000000000000000001"}, {account.MaxMoney, account.MaxMoney, 3, "1"},
	} {
		if got := string(appendRatio(nil, c.num, c.den, c.places)); got != c.want {
			t.Errorf("%d/%d to %d places: got %s, want %s", c.num, c.den, c.places, got, c.want)
		}
	}
}

func TestARatioIsNeverAboveTheQuotientNorAUnitBelow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	unit := big.NewRat(1, 10_000_000_000_000_000)
	for range 20_000 {
		num := account.Money(random.Int64() >> random.IntN(63))
		den := account.Money(random.Int64()>>random.IntN(63)) + 1
		if den <= 0 {
			continue
		}
		text := string(appendRatio(nil, num, den, 16))
		got, ok := new(big.Rat).SetString(text)
		if !ok || !json.Valid([]byte(text)) || (strings.Contains(text, ".") && strings.HasSuffix(text, "0")) {
			t.Fatalf("%d/%d: %q", num, den, text)
		}
		rest := new(big.Rat).Sub(big.NewRat(int64(num), int64(den)), got)
		if rest.Sign() < 0 || rest.Cmp(unit) >= 0 {
			t.Fatalf("%d/%d: %s is off by %s", num, den, text, rest)
		}
	}
}

func BenchmarkAppendRatio(b *testing.B) {
	buffer := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buffer = appendRatio(buffer[:0], account.Unit, 3*account.Unit, 16)
	}
}
