package persistence

import (
	"errors"
	"fmt"
)

// Log is the durable, ordered sequence of frames of one shard. One claimant at a
// time owns it. persistence/local has the implementation on this machine's disk; every
// implementation passes persistencetest.TestLog.
//
// One goroutine at a time may call its methods, except that TruncateFront may run
// beside Append.
type Log interface {
	// Claim makes the caller the shard's owner, and says its epoch and the number
	// of the next frame. The epoch is greater than that of every frame there is and
	// of every earlier claim of this Log, whose owner is fenced out.
	Claim(shard uint16) (Claim, error)
	// Replay calls fn with each frame from number from on, in order, up to the
	// claim's Next. It comes before the claim's first Append, and may be repeated.
	// from 0 is from 1, the beginning of time. That a frame from there on is missing
	// or damaged is a *DamageError. The frame is valid only during the call; an
	// error of fn ends the replay and is returned as it is.
	Replay(from uint64, fn func(seq uint64, frame []byte) error) error
	// Append stores the encoded frame as number seq. When it returns nil the frame
	// is durable. ErrFenced says that the frame's shard and epoch are not those of
	// the current claim, ErrSequence that seq is not the next: both leave the log as
	// it was. After any other error the content of the log is unknown, and every later
	// Append is refused with the same error.
	Append(seq uint64, frame []byte) error
	// TruncateFront removes frames before seq, which a snapshot has made unnecessary.
	// It may keep more than it must.
	TruncateFront(seq uint64) error
	// Close releases the shard. Frames that were appended stay. The Log is of no use
	// afterwards.
	Close() error
}

// Claim is an owner's right to append.
type Claim struct {
	Shard uint16
	Epoch uint64 // counted from 1
	First uint64 // number of the oldest frame that the log has, Next if it has none
	Next  uint64 // number of the next frame, from 1
}

// Errors of a Log and a Journal.
var (
	ErrFenced         = errors.New("another owner has claimed the shard")
	ErrSequence       = errors.New("frame out of sequence")
	ErrQueueFull      = errors.New("the journal's queue is full")
	ErrClosed         = errors.New("the journal is closed")
	ErrPoisoned       = errors.New("the journal failed and takes no more records")
	ErrRecordTooLarge = errors.New("record too large")
)

// DamageError says where the log differs from the bytes that were written. Nothing was
// changed: a person decides about it.
type DamageError struct {
	File   string // path of the segment, or of the directory where a segment is missing
	Offset int64  // bytes from the file's start
	Entry  uint64 // number of the frame that should be there
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("the log is damaged: %s, offset %d, entry %d: %s", e.File, e.Offset, e.Entry, e.Reason)
}
