package persistence

import (
	"errors"
	"fmt"
	"os"
)

// Position says where a record stands: the number of its frame, and its place in
// that from 0.
type Position struct {
	Frame  uint64
	Record uint32
}

// ScanReport is what Scan found.
type ScanReport struct {
	Segments  int
	Bytes     int64
	Frames    uint64
	Records   uint64
	First     uint64 // number of the first frame, 0 if there is none
	Last      uint64
	LastEpoch uint64
	TornTail  *Tail // nil if the log ends with a whole frame
}

// Scan reads the log of a stopped service, or a copy of one, and changes nothing:
// fn gets every record in order, valid during the call. The error is a
// *DamageError, a *LockedError while a service runs, or that of fn.
func Scan(dir string, shard uint16, fn func(Position, []byte) error) (ScanReport, error) {
	var report ScanReport
	logDir := shardDir(dir, shard)
	if _, err := os.Stat(logDir); err != nil {
		return report, fmt.Errorf("no log of the exchange in %s: %w", dir, err)
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
	for _, s := range segments {
		info, err := os.Stat(s.path)
		if err != nil {
			return report, err
		}
		report.Bytes += info.Size()
	}
	report.Segments = len(segments)
	report.TornTail, err = walk(logDir, shard, segments, 0, func(f Frame) error {
		if report.Frames++; report.First == 0 {
			report.First = f.Seq
		}
		report.Last, report.LastEpoch = f.Seq, f.Epoch
		return f.Records(func(i uint32, record []byte) error {
			report.Records++
			return fn(Position{Frame: f.Seq, Record: i}, record)
		})
	})
	if err == nil {
		return report, nil
	}
	return report, errors.Join(err)
}
