package main

import "testing"

func TestGarbageIsBoundedByTheLiveDataAndByHalfAGibibyte(t *testing.T) {
	for live, want := range map[uint64]int{
		0: 100, 100 << 20: 100, 512 << 20: 100, 1 << 30: 50, 2 << 30: 25, 100 << 30: minGCPercent,
	} {
		if got := gcPercent(live); got != want {
			t.Errorf("with %d MiB live it is %d percent, want %d", live>>20, got, want)
		}
	}
	if liveBytes() > 1<<40 {
		t.Errorf("%d bytes are live", liveBytes())
	}
}
