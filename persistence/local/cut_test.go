package local

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

func ignore(format.Position, []byte) error { return nil }

func TestCutShowsWhatGoesThenSavesItAndTheLogGoesOn(t *testing.T) {
	records := persistencetest.Numbered(9)
	dir := writeLog(t, 90, records...) // segments 1, 3, 5, 7, 9
	damaged := segmentsOf(t, dir)[1].path
	content := readFile(t, damaged)
	content[48+40] ^= 1 // in frame 4
	writeFile(t, damaged, content)
	var damage *persistence.DamageError
	if _, err := Scan(dir, 0, ignore); !errors.As(err, &damage) || damage.Entry != 4 {
		t.Fatalf("scan: %v", err)
	}

	before := contentOf(t, dir)
	var lost []string
	collect := func(_ format.Position, record []byte) error { lost = append(lost, string(record)); return nil }
	plan, err := Cut(dir, 0, 4, false, collect)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(lost, records[4:]) || plan.Frames != 5 || plan.Records != 5 || plan.SavedIn != "" {
		t.Errorf("lost %q, %+v", lost, plan)
	}
	if len(plan.Files) != 4 || plan.Files[0] != (CutFile{Path: damaged, Keep: 48, Bytes: 48}) {
		t.Errorf("files %+v", plan.Files)
	}
	wantUnchanged(t, dir, before)

	done, err := Cut(dir, 0, 4, true, ignore)
	if err != nil {
		t.Fatal(err)
	}
	saved := string(readFile(t, filepath.Join(done.SavedIn, "log", filepath.Base(damaged)+".from-48")))
	for _, file := range plan.Files[1:] {
		saved += string(readFile(t, filepath.Join(done.SavedIn, "log", filepath.Base(file.Path))))
	}
	want := before[damaged][48:]
	for _, file := range plan.Files[1:] {
		want += before[file.Path]
	}
	if saved != want {
		t.Error("what was saved is not what was cut off")
	}
	log := openLog(t, Config{Dir: dir, SegmentBytes: 90})
	persistencetest.Append(t, log, persistencetest.Claim(t, log), "goes on")
	persistencetest.Close(t, log)
	log = openLog(t, Config{Dir: dir})
	persistencetest.Claim(t, log)
	persistencetest.WantReplayed(t, log, 1, append(slices.Clone(records[:3]), "goes on")...)
}

func TestCutAtAnyFrameLeavesALogThatEndsBeforeIt(t *testing.T) {
	records := persistencetest.Numbered(9)
	for frame := uint64(1); frame <= 10; frame++ {
		dir := writeLog(t, 90, records...)
		if _, err := Cut(dir, 0, frame, true, ignore); err != nil {
			t.Fatalf("frame %d: %v", frame, err)
		}
		log := openLog(t, Config{Dir: dir})
		if c := persistencetest.Claim(t, log); c.Next != frame {
			t.Errorf("next %d, want %d", c.Next, frame)
		}
		persistencetest.WantReplayed(t, log, 1, records[:frame-1]...)
		persistencetest.Close(t, log)
	}
}

func TestCutIsRefused(t *testing.T) {
	dir := writeLog(t, 90, persistencetest.Numbered(9)...)
	damaged := segmentsOf(t, dir)[1].path
	content := readFile(t, damaged)
	content[40] ^= 1 // in frame 3
	writeFile(t, damaged, content)
	before := contentOf(t, dir)
	for frame, want := range map[uint64]string{0: "has no frame 0", 4: "one before it is damaged", 8: "one before it is damaged", 12: "damaged"} {
		if _, err := Cut(dir, 0, frame, true, ignore); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("at frame %d: %v, want one about %q", frame, err, want)
		}
	}
	wantUnchanged(t, dir, before)
	log := openLog(t, Config{Dir: t.TempDir()})
	for _, apply := range []bool{false, true} {
		if _, err := Cut(log.dir, 0, 1, apply, ignore); !errors.As(err, new(*LockedError)) {
			t.Errorf("while a service runs: %v", err)
		}
	}
}

func TestCutTakesTheSnapshotsThatKnowMoreAndLeavesOneToStartWith(t *testing.T) {
	dir := t.TempDir()
	j := startJournal(t, Config{Dir: dir, SegmentBytes: 1})
	persistencetest.Commit(t, j, persistencetest.Numbered(5)...)
	older := persistencetest.Snapshot(t, j, "older")
	persistencetest.Commit(t, j, persistencetest.Numbered(5)...)
	newer := persistencetest.Snapshot(t, j, "newer")
	persistencetest.CloseJournal(t, j)
	if _, err := Cut(dir, 0, older.Next, false, ignore); err != nil {
		t.Errorf("at the older one's next frame: %v", err)
	}
	report, err := Cut(dir, 0, older.Next+2, true, ignore)
	if err != nil || len(report.Snapshots) != 1 || !strings.HasSuffix(report.Snapshots[0], snapshotName(newer.Next)) {
		t.Fatalf("%+v, %v", report, err)
	}
	if _, err := os.Stat(filepath.Join(report.SavedIn, "snapshot", snapshotName(newer.Next))); err != nil {
		t.Error(err)
	}
	j = openJournal(t, Config{Dir: dir})
	if entries, info, found, err := persistencetest.Loaded(j, 1); err != nil || !found || info != older || entries[0] != "older" {
		t.Errorf("loaded %q, %+v, %v, %v", entries, info, found, err)
	}
	if err := j.Replay(older.Next, ignore); err != nil {
		t.Error(err)
	}
	persistencetest.CloseJournal(t, j)

	// Without the older one the log can't end there: nothing could start.
	if err := os.Remove(filepath.Join(snapshotDir(dir, 0), snapshotName(older.Next))); err != nil {
		t.Fatal(err)
	}
	if _, err := Cut(dir, 0, older.Next+1, true, ignore); err == nil || !strings.Contains(err.Error(), "no snapshot would be left") {
		t.Errorf("error %v", err)
	}
}
