package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
)

// CutReport lists the frames, files and snapshots that a cut of the log takes away, or has
// taken away.
type CutReport struct {
	Frame     uint64 // the first frame that goes
	Frames    uint64 // that go and can be read
	Records   uint64 // in them
	Files     []CutFile
	Snapshots []string // paths of those that go, because they know of frames that do
	SavedIn   string   // directory that has all of it; "" if nothing was changed
}

// CutFile is a segment of which bytes go, from offset Keep on to the end.
type CutFile struct {
	Path  string
	Keep  int64
	Bytes int64
}

// Cut ends the log of a stopped service before the given frame: a person's answer
// to a *persistence.DamageError, which no start gives by itself. Every frame before it must be
// whole. lost is called with each record that goes and can still be read, valid
// during the call. Nothing is changed unless apply is set; all that goes is then first
// saved in a directory beside the log. The error is a *LockedError while a service
// runs.
func Cut(dir string, shard uint16, frame uint64, apply bool, lost func(p format.Position, record []byte) error) (CutReport, error) {
	lock, err := lockDirForReading(dir)
	if err == nil && apply {
		if err = lock.unlock(); err == nil {
			lock, err = lockDir(dir)
		}
	}
	if err != nil {
		return CutReport{}, err
	}
	defer lock.unlock()
	report := CutReport{Frame: frame}
	if err := report.plan(dir, shard, lost); err != nil || !apply {
		return report, err
	}
	return report, report.apply(dir)
}

// plan fills the report in.
func (r *CutReport) plan(dir string, shard uint16, lost func(format.Position, []byte) error) error {
	segments, err := listSegments(shardDir(dir, shard))
	if err != nil {
		return err
	}
	if len(segments) == 0 || r.Frame < segments[0].first {
		return fmt.Errorf("the log in %s has no frame %d", dir, r.Frame)
	}
	end := uint64(0) // the number after the last frame that is whole
	for i, s := range segments {
		buf, err := loadSegment(s, nil)
		if err != nil {
			return fmt.Errorf("read a segment: %w", err)
		}
		keep := 0
		if s.first <= r.Frame && (i == 0 || s.first == end) {
			reader := segmentReader{segment: s, shard: shard, buf: buf, next: s.first}
			for reader.next < r.Frame {
				_, more, damage := reader.read()
				if damage != nil {
					return fmt.Errorf("frame %d can't be the first to go, one before it is damaged: %w", r.Frame, damage)
				}
				if !more {
					break
				}
			}
			keep, end = reader.off, reader.next
		}
		if keep == len(buf) && s.first <= r.Frame {
			continue
		}
		r.Files = append(r.Files, CutFile{Path: s.path, Keep: int64(keep), Bytes: int64(len(buf) - keep)})
		if err := r.read(buf[keep:], lost); err != nil {
			return err
		}
	}
	if end != r.Frame {
		return fmt.Errorf("frame %d can't be the first to go, frame %d is missing or the end of the log", r.Frame, end)
	}
	return r.planSnapshots(dir, shard, segments[0].first)
}

// read reports the frames that can be read anywhere in b.
func (r *CutReport) read(b []byte, lost func(format.Position, []byte) error) error {
	for off := 0; off < len(b); off++ {
		if !format.BeginsWithFrame(b[off:]) {
			continue
		}
		frame, err := format.DecodeFrame(b[off : off+format.FrameLength(b[off:])])
		if err != nil {
			continue
		}
		r.Frames++
		for i, record := range frame.Records() {
			r.Records++
			if err := lost(format.Position{Frame: frame.Seq, Record: i}, record); err != nil {
				return err
			}
		}
		off += format.FrameLength(b[off:]) - 1
	}
	return nil
}

// planSnapshots finds the snapshots that know of frames that go. One must be left
// if the log has lost its beginning.
func (r *CutReport) planSnapshots(dir string, shard uint16, first uint64) error {
	store := snapshotFiles{snapshotDir(dir, shard)}
	names, err := store.Snapshots()
	if err != nil {
		return err
	}
	usable := first == 1
	for _, name := range names {
		snapshot, err := persistence.OpenSnapshot(store, shard, name, 1)
		if err != nil {
			continue // no start uses it
		}
		if snapshot.Info().End > r.Frame {
			r.Snapshots = append(r.Snapshots, snapshot.Name())
		} else if name >= first {
			usable = true
		}
		if err := snapshot.Close(); err != nil {
			return err
		}
	}
	if !usable {
		return fmt.Errorf("frame %d can't be the first to go: the log begins with frame %d, and no snapshot would be left that a start could begin with", r.Frame, first)
	}
	return nil
}

// apply saves all that goes, then takes it away: snapshots first, then the log from
// its end, so that a second attempt can finish after a crash in between.
func (r *CutReport) apply(dir string) error {
	if len(r.Files) == 0 && len(r.Snapshots) == 0 {
		return nil
	}
	saved, err := newDir(filepath.Join(dir, fmt.Sprintf("cut-at-%d", r.Frame)))
	if err != nil {
		return err
	}
	for _, path := range r.Snapshots {
		if err := copyFile(path, filepath.Join(saved, "snapshot", filepath.Base(path))); err != nil {
			return err
		}
	}
	for _, file := range r.Files {
		content, err := os.ReadFile(file.Path)
		if err != nil {
			return err
		}
		name := filepath.Base(file.Path)
		if file.Keep > 0 {
			name = fmt.Sprintf("%s.from-%d", name, file.Keep)
		}
		if err := writeSynced(filepath.Join(saved, "log", name), content[file.Keep:]); err != nil {
			return err
		}
	}
	if err := syncTree(saved); err != nil {
		return err
	}
	r.SavedIn = saved
	for _, path := range r.Snapshots {
		if err := errors.Join(os.Remove(path), osFiles{}.syncDir(filepath.Dir(path))); err != nil {
			return err
		}
	}
	for i := len(r.Files) - 1; i >= 0; i-- {
		if err := r.Files[i].cut(); err != nil {
			return err
		}
	}
	return nil
}

// cut takes a file's bytes away, and the file if none is left; the log's first
// stays, empty.
func (f CutFile) cut() error {
	segments, err := listSegments(filepath.Dir(f.Path))
	if err != nil {
		return err
	}
	if f.Keep == 0 && f.Path != segments[0].path {
		return errors.Join(os.Remove(f.Path), osFiles{}.syncDir(filepath.Dir(f.Path)))
	}
	content, err := os.ReadFile(f.Path)
	if err != nil {
		return err
	}
	return osFiles{}.rewrite(f.Path, content[:f.Keep])
}

// newDir makes a directory of that name, or with a number behind it.
func newDir(path string) (string, error) {
	for n := 1; ; n++ {
		name := path
		if n > 1 {
			name = fmt.Sprintf("%s.%d", path, n)
		}
		if err := os.Mkdir(name, 0o700); !errors.Is(err, fs.ErrExist) {
			return name, err
		}
	}
}

func writeSynced(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	out, err := osFiles{}.create(path)
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
