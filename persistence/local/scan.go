package local

import (
	"fmt"
	"os"

	"github.com/aitbc/exchange/persistence/format"
)

// ScanReport describes a log.
type ScanReport struct {
	Segments  int
	Bytes     int64 // of all segments, a torn tail included
	Frames    uint64
	Records   uint64
	First     uint64 // number of the first frame, 0 if there is none; more than 1 after a truncation at the front
	Last      uint64 // number of the last frame, 0 if there is none
	LastEpoch uint64
	TornTail  *Tail // nil if the log ends with a whole frame
}

// Scan reads the log of a stopped service, or a copy of one, and changes nothing:
// fn gets every record in order, valid during the call. It needs no right to
// write. The error is a *persistence.DamageError, a *LockedError while a service runs, or that
// of fn as it is; the report then covers all that was read before.
func Scan(dir string, shard uint16, fn func(p format.Position, record []byte) error) (ScanReport, error) {
	var report ScanReport
	logDir := shardDir(dir, shard)
	if _, err := os.Stat(logDir); err != nil {
		return report, fmt.Errorf("no log of shard %d in %s: %w", shard, dir, err)
	}
	lock, err := lockDirForReading(dir)
	if err != nil {
		return report, err
	}
	defer lock.unlock()
	segments, err := listSegments(logDir)
	if err != nil {
		return report, err
	}
	report.Segments = len(segments)
	if report.Bytes, err = sizeOf(segments); err != nil {
		return report, err
	}
	report.TornTail, err = walk(logDir, shard, segments, loadSegment, 0, func(e entry) error {
		if report.First == 0 {
			report.First = e.Seq
		}
		report.Frames++
		report.Last, report.LastEpoch = e.Seq, e.Epoch
		for i, record := range e.Records() {
			if err := fn(format.Position{Frame: e.Seq, Record: i}, record); err != nil {
				return err
			}
			report.Records++
		}
		return nil
	})
	return report, err
}
