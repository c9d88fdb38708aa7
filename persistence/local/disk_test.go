package local

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
)

// faultyFiles are the real files, with faults. A fault leaves on disk what a real
// one leaves.
type faultyFiles struct {
	osFiles
	log *faultyLog // the last that was opened

	dirSyncs map[string]int
	failDir  error // what the next sync of a directory returns, once
}

// faultyLog is a *wal.Log whose operations fail on command, once each: a second
// attempt would succeed.
type faultyLog struct {
	logFile
	dir string

	shortWrite int   // bytes of the next entry that are written before it fails; -1: none fails
	failWrite  error // what the next write returns, having written nothing
	failSync   error // what the next sync returns

	failed bool // one of them has
	after  int  // operations that were tried after that
}

func (f *faultyFiles) openLog(dir string, segmentBytes int) (logFile, error) {
	out, err := f.osFiles.openLog(dir, segmentBytes)
	f.log = &faultyLog{logFile: out, dir: dir, shortWrite: -1}
	return f.log, err
}

func (f *faultyFiles) syncDir(dir string) error {
	if f.dirSyncs == nil {
		f.dirSyncs = map[string]int{}
	}
	f.dirSyncs[dir]++
	if err := f.failDir; err != nil {
		f.failDir = nil
		if f.log != nil {
			f.log.failed = true
		}
		return err
	}
	return f.osFiles.syncDir(dir)
}

func (l *faultyLog) Write(index uint64, data []byte) error {
	if l.failed {
		l.after++
	}
	if err := l.failWrite; err != nil {
		l.failWrite, l.failed = nil, true
		return err
	}
	if n := l.shortWrite; n >= 0 {
		l.shortWrite, l.failed = -1, true
		segments, err := listSegments(l.dir)
		if err != nil {
			return err
		}
		file, err := os.OpenFile(segments[len(segments)-1].path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = file.Write(entryOf(data)[:n])
		return errors.Join(io.ErrShortWrite, err, file.Close())
	}
	return l.logFile.Write(index, data)
}

func (l *faultyLog) Sync() error {
	if l.failed {
		l.after++
	}
	if err := l.failSync; err != nil {
		l.failSync, l.failed = nil, true
		return err
	}
	return l.logFile.Sync()
}

func (l *faultyLog) Close() error {
	if l.failed {
		l.after++
	}
	return l.logFile.Close()
}

// powerDisk is a disk whose power goes after a number of operations. It syncs
// nothing for real: it knows what a sync has made safe, and loses the rest.
type powerDisk struct {
	osFiles
	operations int // until the power goes; it never does if 0
	off        bool

	dir    string
	synced map[string][]byte // path of a segment to what of it is safe
	named  map[string]bool   // paths of segments whose names are safe

	// unwritten are segments whose blocks the kernel could not write, and counts as
	// clean: only writing them anew brings them to the disk.
	unwritten map[string]bool
}

var errPower = errors.New("the power is off")

// step counts an operation, and fails when the power is off.
func (d *powerDisk) step() error {
	if d.operations > 0 {
		if d.operations--; d.operations == 0 {
			d.off = true
		}
	}
	if d.off {
		return errPower
	}
	return nil
}

func (d *powerDisk) openLog(dir string, segmentBytes int) (logFile, error) {
	out, err := d.osFiles.openLog(dir, segmentBytes)
	return &powerLog{logFile: out, disk: d}, err
}

func (d *powerDisk) rewrite(path string, data []byte) error {
	if err := os.WriteFile(path, data, 0o640); err != nil {
		return err
	}
	delete(d.unwritten, path)
	if d.synced != nil { // none of it was other than it is now
		d.synced[path] = bytes.Clone(data)
	}
	return d.step()
}

func (d *powerDisk) syncDir(dir string) error {
	if err := d.step(); err != nil {
		return err
	}
	if dir == d.dir {
		segments, err := listSegments(dir)
		if err != nil {
			return err
		}
		for _, s := range segments {
			d.named[s.path] = true
		}
	}
	return nil
}

// markSynced makes the segments safe, but for the last n.
func (d *powerDisk) markSynced(n int) error {
	if d.synced == nil {
		return nil
	}
	segments, err := listSegments(d.dir)
	if err != nil {
		return err
	}
	for _, s := range segments[:len(segments)-n] {
		content, err := os.ReadFile(s.path)
		if err != nil {
			return err
		}
		d.synced[s.path] = content
	}
	return nil
}

// powerLog is the log on a powerDisk.
type powerLog struct {
	logFile
	disk *powerDisk
}

func (l *powerLog) Write(index uint64, data []byte) error {
	if l.disk.off {
		return errPower
	}
	if err := l.logFile.Write(index, data); err != nil {
		return err
	}
	// tidwall/wal syncs a segment before it begins the next.
	if err := l.disk.markSynced(1); err != nil {
		return err
	}
	return l.disk.step()
}

func (l *powerLog) Sync() error {
	if err := l.disk.step(); err != nil {
		return err
	}
	return l.disk.markSynced(0)
}

// powerOn makes the directory what a disk may have kept: of each segment what is
// safe, and anything of the rest.
func (d *powerDisk) powerOn(random *rand.Rand) error {
	segments, err := listSegments(d.dir)
	if err != nil {
		return err
	}
	for _, s := range segments {
		if d.unwritten[s.path] || !d.named[s.path] && random.IntN(2) == 0 {
			if err := os.Remove(s.path); err != nil {
				return err
			}
			continue
		}
		content, err := os.ReadFile(s.path)
		if err != nil {
			return err
		}
		safe := d.synced[s.path]
		if bytes.Equal(safe, content) {
			continue
		}
		// Any length between the two, and of each block what was or what is.
		shorter, longer := min(len(safe), len(content)), max(len(safe), len(content))
		kept := make([]byte, shorter+random.IntN(longer-shorter+1))
		copy(kept, safe)
		const block = 16
		for at := 0; at < len(kept); at += block {
			if random.IntN(2) == 0 && at < len(content) {
				copy(kept[at:min(at+block, len(kept))], content[at:])
			}
		}
		if err := os.WriteFile(s.path, kept, 0o640); err != nil {
			return err
		}
	}
	return nil
}

// newPowerDisk returns the disk that dir's log is on, all of which is safe.
func newPowerDisk(dir string, operations int) (*powerDisk, error) {
	d := &powerDisk{operations: operations, dir: shardDir(dir, 0), synced: map[string][]byte{}, named: map[string]bool{}}
	segments, err := listSegments(d.dir)
	for _, s := range segments {
		d.named[s.path] = true
	}
	if err != nil || len(segments) == 0 {
		return d, err
	}
	return d, d.markSynced(0)
}
