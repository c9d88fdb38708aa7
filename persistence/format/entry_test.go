package format

import (
	"errors"
	"testing"
)

func TestEntryLengthIsThatOfTheFrameAndItsUvarint(t *testing.T) {
	for length, want := range map[int]int64{36: 37, 127: 128, 128: 130, 1<<14 - 1: 1<<14 + 1, 1 << 14: 1<<14 + 3} {
		if got := EntryLength(make([]byte, length)); got != want {
			t.Errorf("a frame of %d bytes takes %d, want %d", length, got, want)
		}
	}
}

func TestSplitEntrySaysWhatIsWrongWithALength(t *testing.T) {
	if length, offset, err := SplitEntry([]byte{0x80, 0x01, 'x'}); length != 128 || offset != 2 || err != nil {
		t.Errorf("length %d, frame at %d, %v", length, offset, err)
	}
	if _, _, err := SplitEntry([]byte{0x80}); !errors.Is(err, ErrEntryCut) {
		t.Errorf("of a cut length: %v, want ErrEntryCut", err)
	}
	endless := []byte("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01")
	if _, _, err := SplitEntry(endless); !errors.Is(err, ErrEntryLength) {
		t.Errorf("of an endless length: %v, want ErrEntryLength", err)
	}
}
