package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write testdata/chain.golden anew")

// sample is a chain of acts as they will be.
func sample(t testing.TB) [][]byte {
	t.Helper()
	var c Chain
	var all [][]byte
	for i, e := range []Entry{
		{Actor: "operator:anna", Action: "user.suspend", Target: "user:018f6f1e-0000-7000-8000-000000000001", Note: "asked by the bank"},
		{Actor: "user:018f6f1e-0000-7000-8000-000000000002", Action: "totp.enrol"},
		{Actor: "operator:bob", Action: "withdrawal.approve", Target: "user:018f6f1e-0000-7000-8000-000000000002", Note: "zwei Augen, dann vier"},
		{Actor: "system", Action: "keys.rotate"},
	} {
		e.At = 1_764_000_000_000_000_000 + int64(i)
		b, err := c.Add(nil, e)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func follow(all [][]byte) (Chain, error) {
	var c Chain
	for _, b := range all {
		if _, err := c.Follow(b); err != nil {
			return c, err
		}
	}
	return c, nil
}

// What is in logs stays readable: the golden file is never written anew but for a new
// version.
func TestTheEncodingIsTheGoldenFiles(t *testing.T) {
	var got strings.Builder
	for _, b := range sample(t) {
		fmt.Fprintf(&got, "%x\n", b)
	}
	if *update {
		if err := os.WriteFile("testdata/chain.golden", []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile("testdata/chain.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(golden) {
		t.Errorf("the encoding is\n%swant\n%s", got.String(), golden)
	}
	var c Chain
	for line := range strings.Lines(string(golden)) {
		b, err := hex.DecodeString(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Follow(b); err != nil {
			t.Error(err)
		}
	}
	if head := fmt.Sprintf("%x", c.Head()); c.Len() != 4 || head != goldenHead {
		t.Errorf("%d entries with the head %s, want 4 with %s", c.Len(), head, goldenHead)
	}
}

const goldenHead = "b2cf2ad323aed554da24490f714a167770a84651772752872a4b66acd72892e1"

// Whatever is done to a chain but cutting off its end is noticed, and that changes
// its head.
func TestEveryChangeIsNoticed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Chain
		var all [][]byte
		for range rapid.IntRange(2, 12).Draw(t, "entries") {
			b, err := c.Add(nil, Entry{At: rapid.Int64Range(0, 1000).Draw(t, "at"), Actor: "a", Action: "b", Note: rapid.StringMatching(`[a-z]{0,9}`).Draw(t, "note")})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
		}
		if whole, err := follow(all); err != nil || whole != c {
			t.Fatalf("%v, %+v, want %+v", err, whole, c)
		}
		i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
		changed := slices.Clone(all)
		switch rapid.IntRange(0, 3).Draw(t, "attack") {
		case 0: // a bit
			b := bytes.Clone(all[i])
			b[rapid.IntRange(0, len(b)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			changed[i] = b
		case 1: // taken out
			changed = slices.Delete(changed, i, i+1)
		case 2: // twice
			changed = slices.Insert(changed, i, all[i])
		case 3: // two swapped
			j := (i + 1) % len(all)
			changed[i], changed[j] = changed[j], changed[i]
		}
		if after, err := follow(changed); err == nil && after.Head() == c.Head() {
			t.Fatal("the change is not noticed")
		} else if err != nil && !errors.Is(err, ErrBroken) {
			t.Fatal(err)
		} else if err == nil && i != len(all)-1 {
			t.Fatal("only the head shows a change that is not at the end")
		}
	})
}

func TestAChainGoesOnFromASnapshot(t *testing.T) {
	all := sample(t)
	c, err := follow(all[:2])
	if err != nil {
		t.Fatal(err)
	}
	c = Resume(c.Len(), c.At(), c.Head())
	for _, b := range all[2:] {
		if _, err := c.Follow(b); err != nil {
			t.Error(err)
		}
	}
	whole, err := follow(all)
	if err != nil || whole != c {
		t.Errorf("%+v, want %+v, %v", c, whole, err)
	}
}

func TestAClockSetBackDoesNotBreakTheChain(t *testing.T) {
	var c Chain
	var all [][]byte
	for _, at := range []int64{100, 50, 200} {
		b, err := c.Add(nil, Entry{At: at, Actor: "a", Action: "b"})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	if _, err := follow(all); err != nil {
		t.Error(err)
	}
}

func TestAnEntryOverItsLimitsIsRefused(t *testing.T) {
	var c Chain
	long := strings.Repeat("x", MaxNote)
	for name, e := range map[string]Entry{
		"no actor": {Action: "b"}, "no action": {Actor: "a"},
		"long actor": {Actor: long, Action: "b"}, "long note": {Actor: "a", Action: "b", Note: long + "x"},
		"line end": {Actor: "a", Action: "b", Note: "x\ny"}, "not UTF-8": {Actor: "a\xFF", Action: "b"},
	} {
		if _, err := c.Add(nil, e); !errors.Is(err, ErrEntry) || c != (Chain{}) {
			t.Errorf("%s: %v, chain %+v", name, err, c)
		}
	}
	field := strings.Repeat("x", maxField)
	b, err := c.Add(nil, Entry{Actor: field, Action: field, Target: field, Note: long})
	if err != nil || len(b) != MaxEntry {
		t.Errorf("%d bytes, %v, want %d", len(b), err, MaxEntry)
	}
}

// FuzzDecode: what is read is written as it was, so that no entry has two hashes.
func FuzzDecode(f *testing.F) {
	for _, b := range sample(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err == nil && !bytes.Equal(e.Append(nil), b) {
			t.Errorf("%x is read as %+v", b, e)
		}
		if err != nil && !errors.Is(err, ErrEntry) {
			t.Error(err)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	var c Chain
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = c.Add(buf[:0], Entry{Actor: "operator:anna", Action: "withdrawal.complete", Target: "user:018f6f1e-0000-7000-8000-000000000001"}); err != nil {
			b.Fatal(err)
		}
	}
}
