package main

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/persistence"
)

func repair(args []string, env func(string) string, stdout, _ io.Writer) error {
	dir, frame, yes := "./data", 0, false
	o := newOptions("repair", "End a damaged log before a frame, the one that verify or a refused start names. It\nprints all that would be lost, and changes nothing without --yes; then what is cut\noff is first saved in the data directory.")
	o.text(&dir, "data", "directory of the log of a stopped service")
	o.integer(&frame, "truncate-at", 1, math.MaxInt, "number of the first frame to cut off")
	o.BoolVar(&yes, "yes", false, "cut it off")
	if err := o.parse(args, env, stdout); err != nil {
		return err
	}
	if frame == 0 {
		return &usageError{"-truncate-at is missing: the number of the first frame to cut off"}
	}
	var record account.Record
	users := map[account.UserID]bool{}
	report, err := persistence.Cut(dir, 0, uint64(frame), yes, func(p persistence.Position, encoded []byte) error {
		if err := record.Decode(encoded); err != nil {
			fmt.Fprintf(stdout, "lost           frame %d, record %d: %d bytes that can't be decoded: %v\n", p.Frame, p.Record, len(encoded), err)
			return nil
		}
		users[record.User] = true
		fmt.Fprintf(stdout, "lost           frame %d, record %d: user %s, event %d:", p.Frame, p.Record, record.User, record.Seq)
		for _, event := range record.Events {
			fmt.Fprint(stdout, " ", strings.TrimPrefix(fmt.Sprintf("%T", event), "*account."))
		}
		fmt.Fprintln(stdout)
		return nil
	})
	if err != nil {
		return err
	}
	for _, file := range report.Files {
		fmt.Fprintf(stdout, "file           %s: %d bytes from offset %d on\n", file.Path, file.Bytes, file.Keep)
	}
	for _, path := range report.Snapshots {
		fmt.Fprintf(stdout, "snapshot       %s knows of frames that go, and goes with them\n", path)
	}
	fmt.Fprintf(stdout, "in all         %d frames with %d records of %d users can still be read, from frame %d on\n", report.Frames, report.Records, len(users), report.Frame)
	if !yes {
		fmt.Fprintln(stdout, "dry run        nothing was changed; with --yes all of this is cut off")
		return nil
	}
	if report.SavedIn == "" {
		fmt.Fprintln(stdout, "cut off        nothing, the log ends there already")
		return nil
	}
	fmt.Fprintf(stdout, "cut off        and saved in %s\n", report.SavedIn)
	return nil
}
