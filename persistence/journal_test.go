package persistence_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/format"
	"github.com/aitbc/exchange/persistence/local"
	"github.com/aitbc/exchange/persistence/persistencetest"
)

// gatedJournal returns a journal that is started, and whose appends wait at the gate.
func gatedJournal(t testing.TB, cfg persistence.Config) (*persistence.Journal, *memoryLog) {
	t.Helper()
	log := &memoryLog{store: &memoryStore{}}
	cfg.Log = log
	j := persistencetest.Start(t, cfg)
	log.gate = newGate()
	return j, log
}

func TestJournalReplaysWhatItCommittedAtItsPosition(t *testing.T) {
	dir := t.TempDir()
	var want []string
	var positions []persistence.Position
	for life := range 3 {
		log := openLocal(t, local.Config{Dir: dir, SegmentBytes: 100})
		j, err := persistence.Open(persistence.Config{Log: log})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // replaying twice gives the same
			var got []string
			var at []persistence.Position
			err = j.Replay(0, func(p persistence.Position, record []byte) error {
				got, at = append(got, string(record)), append(at, p)
				return nil
			})
			if err != nil || !slices.Equal(got, want) || !slices.Equal(at, positions) {
				t.Fatalf("replayed %q at %v, %v; want %q at %v", got, at, err, want, positions)
			}
		}
		if err := j.Start(); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			record := fmt.Sprintf("life %d, record %d", life, i)
			done := persistencetest.NewOutcome()
			persistencetest.Put(t, j, record, done)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			// Each life begins with a frame of no record.
			want, positions = append(want, record), append(positions, persistence.Position{Frame: uint64(11*life + 2 + i)})
		}
		stats := j.Stats()
		if stats.Frames != 11 || stats.Records != 10 || stats.Epoch != uint64(life+1) || stats.Next != uint64(11*(life+1)+1) ||
			stats.LastBatchRecords != 1 || stats.QueuedRecords != 0 || stats.QueuedBytes != 0 || stats.SyncTime <= 0 {
			t.Errorf("stats %+v", stats)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	log := openLocal(t, local.Config{Dir: dir})
	j, err := persistence.Open(persistence.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	var tail []string
	if err := j.Replay(30, func(p persistence.Position, record []byte) error {
		tail = append(tail, string(record))
		return nil
	}); err != nil || !slices.Equal(tail, want[len(want)-4:]) {
		t.Errorf("replayed %q from frame 30, %v", tail, err)
	}
}

func TestEverythingThatComesDuringASyncIsOneFrame(t *testing.T) {
	j, log := gatedJournal(t, persistence.Config{})
	first := persistencetest.NewOutcome()
	persistencetest.Put(t, j, "first", first)
	if got := persistencetest.Records(t, <-log.gate.arrived); !slices.Equal(got, []string{"first"}) {
		t.Fatalf("frame of %q", got)
	}
	records := persistencetest.Numbered(500)
	done := make([]persistencetest.Outcome, len(records))
	for i, record := range records {
		done[i] = persistencetest.NewOutcome()
		persistencetest.Put(t, j, record, done[i])
	}
	select {
	case <-done[0]:
		t.Fatal("acknowledged while the batch before it was still on its way")
	default:
	}
	log.gate.outcome <- nil
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if got := persistencetest.Records(t, <-log.gate.arrived); !slices.Equal(got, records) {
		t.Fatalf("frame of %d records, want the %d that came meanwhile", len(got), len(records))
	}
	log.gate.outcome <- nil
	for i := range done {
		if err := <-done[i]; err != nil {
			t.Fatal(err)
		}
	}
	stats := j.Stats()
	if stats.Frames != 3 || stats.Records != 501 || stats.LastBatchRecords != 500 {
		t.Errorf("stats %+v", stats)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBatchEndsAtItsLimitAndALargerRecordIsOneOfItsOwn(t *testing.T) {
	j, log := gatedJournal(t, persistence.Config{MaxBatchBytes: format.FrameHeaderSize + 22})
	done := make(chan error, 10)
	c := persistencetest.CompletionFunc(func(err error) { done <- err })
	persistencetest.Put(t, j, "opens", c)
	<-log.gate.arrived
	big := strings.Repeat("b", 100)
	for _, record := range []string{"tenletters", "tenletters", "x", big, "y", "z"} {
		persistencetest.Put(t, j, record, c)
	}
	for _, want := range [][]string{{"tenletters", "tenletters"}, {"x"}, {big}, {"y", "z"}} {
		log.gate.outcome <- nil
		if got := persistencetest.Records(t, <-log.gate.arrived); !slices.Equal(got, want) {
			t.Errorf("frame of %q, want %q", got, want)
		}
	}
	log.gate.outcome <- nil
	for range 7 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestCompletionsAndBarriersComeInOrder(t *testing.T) {
	j, log := gatedJournal(t, persistence.Config{MaxBatchBytes: 100})
	var told []int // written by the committer, read after the last
	last := persistencetest.NewOutcome()
	tell := func(i int) persistencetest.CompletionFunc {
		return func(err error) {
			if err != nil {
				t.Errorf("completion %d: %v", i, err)
			}
			told = append(told, i)
		}
	}
	var want []int
	for i := range 100 {
		if i%3 == 2 {
			j.Barrier(tell(i))
		} else {
			persistencetest.Put(t, j, "record", tell(i))
		}
		want = append(want, i)
		if i == 0 {
			<-log.gate.arrived // all others wait
		}
	}
	j.Barrier(last)
	select {
	case <-last:
		t.Fatal("a barrier was passed with records before it")
	default:
	}
	for {
		log.gate.outcome <- nil
		select {
		case <-log.gate.arrived:
			continue
		case err := <-last:
			if err != nil {
				t.Fatal(err)
			}
		}
		break
	}
	if !slices.Equal(told, want) {
		t.Errorf("told in order %v", told)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBarrierIsInlineWhenNothingIsPending(t *testing.T) {
	j := persistencetest.Start(t, persistence.Config{Log: &memoryLog{store: &memoryStore{}}})
	told := false
	j.Barrier(persistencetest.CompletionFunc(func(err error) { told = err == nil }))
	if !told {
		t.Error("not told at once")
	}
	frames := j.Stats().Frames
	done := persistencetest.NewOutcome()
	persistencetest.Put(t, j, "x", persistencetest.CompletionFunc(func(error) { j.Barrier(done) })) // from a completion
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if got := j.Stats().Frames - frames; got != 1 {
		t.Errorf("%d frames for one record and barriers, want 1", got)
	}
}

func TestBarrierBehindABatchThatIsOnItsWayWritesNothing(t *testing.T) {
	j, log := gatedJournal(t, persistence.Config{})
	record, barrier := persistencetest.NewOutcome(), persistencetest.NewOutcome()
	persistencetest.Put(t, j, "x", record)
	<-log.gate.arrived
	j.Barrier(barrier)
	select {
	case <-barrier:
		t.Fatal("passed before the record is durable")
	default:
	}
	log.gate.outcome <- nil
	if err := errors.Join(<-record, <-barrier, j.Close()); err != nil {
		t.Fatal(err)
	}
	if n := len(log.store.frames); n != 2 {
		t.Errorf("%d frames, want 2", n)
	}
}

func TestFullQueueRefusesUntilThereIsRoom(t *testing.T) {
	for name, cfg := range map[string]persistence.Config{
		"of records": {MaxQueuedRecords: 3},
		"of bytes":   {MaxQueuedBytes: 3 * 6},
	} {
		t.Run(name, func(t *testing.T) {
			j, log := gatedJournal(t, cfg)
			done := make(chan error, 10)
			c := persistencetest.CompletionFunc(func(err error) { done <- err })
			persistencetest.Put(t, j, "12345", c)
			<-log.gate.arrived
			persistencetest.Put(t, j, "12345", c)
			if err := j.Reserve(5); err != nil { // booked, and not yet used
				t.Fatal(err)
			}
			for range 2 {
				if err := j.Reserve(5); !errors.Is(err, persistence.ErrQueueFull) {
					t.Fatalf("reserve: %v, want ErrQueueFull", err)
				}
			}
			if stats := j.Stats(); stats.QueuedRecords != 3 || stats.QueuedBytes != 18 {
				t.Errorf("stats %+v", stats)
			}
			j.Append([]byte("abcde"), c)
			log.gate.outcome <- nil
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			persistencetest.Put(t, j, "again", c) // room for one
			if err := j.Reserve(5); !errors.Is(err, persistence.ErrQueueFull) {
				t.Errorf("reserve: %v, want ErrQueueFull", err)
			}
			for told := 1; told < 4; { // in one more frame or two
				select {
				case <-log.gate.arrived:
					log.gate.outcome <- nil
				case err := <-done:
					if told++; err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestRecordThatIsTooLargeIsRefused(t *testing.T) {
	j := persistencetest.Start(t, persistence.Config{Log: &memoryLog{store: &memoryStore{}}, MaxQueuedBytes: 2 << 20})
	for _, length := range []int{-1, persistence.MaxRecord + 1} {
		if err := j.Reserve(length); !errors.Is(err, persistence.ErrRecordTooLarge) {
			t.Errorf("%d bytes: %v, want ErrRecordTooLarge", length, err)
		}
	}
	done := persistencetest.NewOutcome()
	persistencetest.Put(t, j, strings.Repeat("x", persistence.MaxRecord), done)
	if err := errors.Join(<-done, j.Close()); err != nil {
		t.Error(err)
	}
	j = persistencetest.Start(t, persistence.Config{Log: &memoryLog{store: &memoryStore{}}, MaxQueuedBytes: 10})
	if err := j.Reserve(10); !errors.Is(err, persistence.ErrRecordTooLarge) {
		t.Errorf("a record larger than the queue: %v, want ErrRecordTooLarge", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestAppendThatWasNotReservedPanics(t *testing.T) {
	j := persistencetest.Start(t, persistence.Config{Log: &memoryLog{store: &memoryStore{}}})
	defer func() {
		if s := fmt.Sprint(recover()); !strings.Contains(s, "without a reservation") {
			t.Errorf("recovered %q", s)
		}
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	j.Append([]byte("x"), persistencetest.NewOutcome())
}

func TestCloseCommitsEverythingThatWasAppended(t *testing.T) {
	j, log := gatedJournal(t, persistence.Config{MaxBatchBytes: 200})
	records := persistencetest.Numbered(100)
	done := make(chan error, len(records))
	c := persistencetest.CompletionFunc(func(err error) { done <- err })
	for _, record := range records {
		persistencetest.Put(t, j, record, c)
	}
	if err := j.Reserve(1); err != nil { // never used: it does not hold Close up
		t.Fatal(err)
	}
	closed := make(chan error)
	go func() { closed <- j.Close() }()
	for committed := 0; committed < len(records); {
		committed += len(persistencetest.Records(t, <-log.gate.arrived))
		log.gate.outcome <- nil
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if len(done) != len(records) {
		t.Fatalf("%d of %d completions were told when Close returned", len(done), len(records))
	}
	for range records {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, frame := range log.store.frames {
		got = append(got, persistencetest.Records(t, frame)...)
	}
	if !slices.Equal(got, records) {
		t.Errorf("committed %q", got)
	}
	if !log.closed {
		t.Error("the log was not closed")
	}
}

func TestJournalThatIsNotOpenTakesNothing(t *testing.T) {
	j, err := persistence.Open(persistence.Config{Log: &memoryLog{store: &memoryStore{}}})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(when string) {
		t.Helper()
		if err := j.Reserve(1); !errors.Is(err, persistence.ErrClosed) {
			t.Errorf("%s, reserve: %v, want ErrClosed", when, err)
		}
		done := persistencetest.NewOutcome()
		j.Barrier(done)
		if err := <-done; !errors.Is(err, persistence.ErrClosed) {
			t.Errorf("%s, barrier: %v, want ErrClosed", when, err)
		}
	}
	refused("before Start")
	if err := j.Start(); err != nil {
		t.Fatal(err)
	}
	if err := j.Reserve(1); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	refused("after Close")
	done := persistencetest.NewOutcome()
	j.Append([]byte("x"), done) // reserved before Close
	if err := <-done; !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("append after Close: %v, want ErrClosed", err)
	}
	if err := j.Close(); !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("second close: %v, want ErrClosed", err)
	}
	if err := j.Start(); !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("start after close: %v, want ErrClosed", err)
	}
}

func TestJournalThatWasNeverStartedCloses(t *testing.T) {
	log := &memoryLog{store: &memoryStore{}}
	j, err := persistence.Open(persistence.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil || !log.closed {
		t.Errorf("close: %v, log closed: %t", err, log.closed)
	}
}

func TestStartFailsIfTheDiskCannotBeWritten(t *testing.T) {
	log := &memoryLog{store: &memoryStore{}, failed: io.ErrShortWrite}
	j, err := persistence.Open(persistence.Config{Log: log})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Start(); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("start: %v, want %v", err, io.ErrShortWrite)
	}
	if err := j.Reserve(1); !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("reserve: %v, want ErrClosed", err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

func TestConfigThatMakesNoSenseIsRefused(t *testing.T) {
	log := &memoryLog{store: &memoryStore{}}
	for want, cfg := range map[string]persistence.Config{
		"needs a log":            {},
		"MaxQueuedRecords is -1": {Log: log, MaxQueuedRecords: -1},
		"MaxQueuedBytes is -5":   {Log: log, MaxQueuedBytes: -5},
		"MaxBatchBytes is":       {Log: log, MaxBatchBytes: 1 << 40},
	} {
		if _, err := persistence.Open(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one about %q", err, want)
		}
	}
	if _, err := local.Open(local.Config{Dir: t.TempDir(), SegmentBytes: -1}); err == nil {
		t.Error("a negative segment size was accepted")
	}
}

// wrongLog hands out what is not there.
type wrongLog struct {
	memoryLog
	frames [][]byte
	next   uint64
}

func (l *wrongLog) Claim(uint16) (persistence.Claim, error) {
	return persistence.Claim{Epoch: 2, Next: l.next}, nil
}

func (l *wrongLog) Replay(_ uint64, fn func(uint64, []byte) error) error {
	for i, frame := range l.frames {
		if err := fn(uint64(i)+1, frame); err != nil {
			return err
		}
	}
	return nil
}

func TestReplayTrustsNoLog(t *testing.T) {
	for name, c := range map[string]struct {
		log  *wrongLog
		want error
	}{
		"a broken frame":    {&wrongLog{frames: [][]byte{persistencetest.Frame(0, 1, 1, "x")[1:]}, next: 2}, format.ErrFrame},
		"a wrong number":    {&wrongLog{frames: [][]byte{persistencetest.Frame(0, 1, 2, "x")}, next: 2}, persistence.ErrSequence},
		"a wrong shard":     {&wrongLog{frames: [][]byte{persistencetest.Frame(1, 1, 1, "x")}, next: 2}, persistence.ErrSequence},
		"an end too early":  {&wrongLog{frames: [][]byte{persistencetest.Frame(0, 1, 1, "x")}, next: 3}, persistence.ErrSequence},
		"an end that isn't": {&wrongLog{frames: [][]byte{persistencetest.Frame(0, 1, 1, "x"), persistencetest.Frame(0, 1, 2, "x")}, next: 2}, persistence.ErrSequence},
	} {
		j, err := persistence.Open(persistence.Config{Log: c.log})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Replay(0, func(persistence.Position, []byte) error { return nil }); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestManyAppendersLoseNothingAndEachKeepsItsOrder(t *testing.T) {
	const appenders, each = 16, 200
	dir := t.TempDir()
	log := openLocal(t, local.Config{Dir: dir, SegmentBytes: 4096})
	j := persistencetest.Start(t, persistence.Config{Log: log, MaxQueuedRecords: 64, MaxBatchBytes: 1024})
	var appending sync.WaitGroup
	for a := range appenders {
		appending.Go(func() {
			for i := range each {
				record := fmt.Sprintf("%d %d", a, i)
				done := persistencetest.NewOutcome()
				for j.Reserve(len(record)) != nil {
					// Full: wait until something has left.
					wait := persistencetest.NewOutcome()
					j.Barrier(wait)
					<-wait
				}
				j.Append([]byte(record), done)
				if i%10 == 0 {
					if err := <-done; err != nil {
						t.Errorf("%s: %v", record, err)
					}
				}
			}
		})
	}
	appending.Wait()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	next := make([]int, appenders)
	report, err := local.Scan(dir, 0, func(_ persistence.Position, record []byte) error {
		a, i, _ := strings.Cut(string(record), " ")
		appender, err := strconv.Atoi(a)
		if err != nil {
			return err
		}
		if i != strconv.Itoa(next[appender]) {
			return fmt.Errorf("record %s of appender %s, want %d", i, a, next[appender])
		}
		next[appender]++
		return nil
	})
	if err != nil || report.Records != appenders*each {
		t.Errorf("scanned %+v, %v", report, err)
	}
	if stats := j.Stats(); stats.Records != appenders*each || stats.QueuedRecords != 0 || stats.QueuedBytes != 0 {
		t.Errorf("stats %+v", stats)
	}
}
