package main

import "testing"

func TestGarbageIsAsMuchAsTheLiveDataWithinItsBounds(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 6400, 128 << 20: 200, 256 << 20: 100, 512 << 20: 100, 1 << 30: 50, 2 << 30: 25, 100 << 30: minGCPercent,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("with %d MiB live it is %d percent, want %d", live>>20, got, want)
		}
	}
	if liveBytes() > 1<<40 {
		t.Errorf("%d bytes are live", liveBytes())
	}
}
