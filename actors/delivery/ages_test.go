package delivery

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTheOldestIsTheOldestThatIsOpen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a ages
		open := map[place]Item{}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				it := Item{N: rapid.Uint32Range(0, 20).Draw(t, "n"), OpenedAt: time.Unix(rapid.Int64Range(1, 50).Draw(t, "at"), 0)}
				if _, queued := open[placeOf(it)]; !queued {
					open[placeOf(it)] = it
					a.add(it)
				}
			},
			"end": func(t *rapid.T) {
				if it, queued := open[place{n: rapid.Uint32Range(0, 20).Draw(t, "n")}]; queued {
					delete(open, placeOf(it))
					a.end(it)
				}
			},
			"": func(t *rapid.T) {
				var want time.Time
				for _, it := range open {
					if want.IsZero() || it.OpenedAt.Before(want) {
						want = it.OpenedAt
					}
				}
				if got := a.oldest(); !got.Equal(want) {
					t.Fatalf("the oldest is of %s, want %s", got, want)
				}
			},
		})
	})
}

func TestWhatHasEndedTakesNoMemoryForLong(t *testing.T) {
	var a ages
	a.add(Item{N: 0, OpenedAt: time.Unix(1, 0)}) // never ends
	for n := uint32(1); n < 20_000; n++ {
		it := Item{N: n, OpenedAt: time.Unix(2, 0)}
		a.add(it)
		a.end(it)
	}
	if len(a.heap) > 3000 || len(a.ended) > 3000 {
		t.Errorf("%d and %d items are kept", len(a.heap), len(a.ended))
	}
}
