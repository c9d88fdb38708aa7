package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

// restored marks a data directory by hand as a copy, as backup marks what it makes.
func restored(args []string, env func(string) string, stdout, _ io.Writer) error {
	dir := "./data"
	var taken account.Time
	o := newOptions("restored", "Say that the data of a stopped service are a copy that other means than exchange\nbackup have made: a snapshot of the file system, or a copied directory. The next start\nthen skips what may have been given out since the copy was made, and ends every\nsession. A copy of exchange backup is marked already.")
	o.text(&dir, "data", "directory that is a copy")
	o.Var(value[account.Time]{&taken, parseTime, printTime}, "taken", "when the copy was made (RFC 3339); the time of its last record when not given. What is skipped grows with the time since")
	if err := o.parse(args, env, stdout); err != nil {
		return err
	}
	at := time.Time{}
	if taken != 0 {
		if at = taken.Std(); at.After(time.Now()) {
			return &usageError{fmt.Sprintf("-taken %s is in the future", taken)}
		}
	}
	mark, err := persistence.MarkCopy(dir, 0, at)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "marked         %s is copy %s", dir, hex.EncodeToString(mark.ID[:]))
	if !mark.Taken.IsZero() {
		fmt.Fprintf(stdout, ", taken %s", mark.Taken.Format(time.RFC3339))
	}
	fmt.Fprintln(stdout)
	return nil
}

// copyOf returns what says that a data directory, which the caller has locked, is a copy.
func copyOf(dir string) (*actors.Copy, error) {
	mark, err := persistence.ReadCopyMark(dir)
	if mark == nil || err != nil {
		return nil, err
	}
	return &actors.Copy{ID: mark.ID, Taken: mark.Taken}, nil
}

// clearCopy ends the mark, once the log has what it says.
func clearCopy(dir string, c *actors.Copy) error {
	if c == nil {
		return nil
	}
	if err := persistence.ClearCopyMark(dir); err != nil {
		return errors.Join(fmt.Errorf("the mark of the copy in %s can't be removed", dir), err)
	}
	return nil
}
