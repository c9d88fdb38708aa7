package local

import (
	"fmt"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

func TestLocalIsALog(t *testing.T) {
	for _, segmentBytes := range []int{1, 200, defaultSegmentBytes} {
		t.Run(fmt.Sprintf("segments of %d bytes", segmentBytes), func(t *testing.T) {
			persistencetest.TestLog(t, func(t *testing.T) func() persistence.Log {
				dir := t.TempDir()
				return func() persistence.Log { return openLog(t, Config{Dir: dir, SegmentBytes: segmentBytes}) }
			})
		})
	}
}

func TestLocalIsASnapshotStore(t *testing.T) {
	persistencetest.TestSnapshotStore(t, func(t *testing.T) func() (persistence.SnapshotStore, func()) {
		dir := t.TempDir()
		return func() (persistence.SnapshotStore, func()) {
			log := openLog(t, Config{Dir: dir, syncEvery: 3})
			persistencetest.Claim(t, log)
			return log, func() { persistencetest.Close(t, log) }
		}
	})
}
