package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/audit"
	"github.com/aitbc/exchange/persistence"
)

func repair(args []string, env func(string) string, stdout, _ io.Writer) error {
	dir, frame, yes, ofAudit := "./data", 0, false, false
	o := newOptions("repair", "End a damaged log before a frame, the one that verify or a refused start names. It\nprints all that would be lost, and changes nothing without --yes; then what is cut\noff is first saved in the data directory, and the audit log tells of it. The next start\nskips what was given out in it, as after a restored backup.")
	o.text(&dir, "data", "directory of the log of a stopped service")
	o.integer(&frame, "truncate-at", 1, math.MaxInt, "number of the first frame to cut off")
	o.BoolVar(&yes, "yes", false, "cut it off")
	o.BoolVar(&ofAudit, "audit", false, "cut the audit log; whoever noted its head can tell")
	if err := o.parse(args, env, stdout); err != nil {
		return err
	}
	if frame == 0 {
		return &usageError{"-truncate-at is missing: the number of the first frame to cut off"}
	}
	if ofAudit {
		return repairAudit(dir, uint64(frame), yes, stdout)
	}
	if yes {
		// What is cut off was given out, as what came after a backup: the next start has to
		// know, whatever comes between this and the cut.
		if _, err := persistence.Cut(dir, 0, uint64(frame), false, func(persistence.Position, []byte) error { return nil }); err != nil {
			return err
		}
		if _, err := persistence.MarkCopy(dir, 0, time.Time{}); err != nil {
			return err
		}
		if err := auditRepair(dir, "log.repair", uint64(frame)); err != nil {
			return err
		}
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
			fmt.Fprint(stdout, " ", account.EventName(event))
		}
		fmt.Fprintln(stdout)
		if tied := identityEvents(record.Events); tied != "" {
			fmt.Fprintf(stdout, "identity       that the data is tied to %s is lost with it\n", tied)
		}
		return nil
	})
	if err != nil {
		return err
	}
	printCut(stdout, &report, yes, fmt.Sprintf("%d records of %d users", report.Records, len(users)))
	return nil
}

// printCut says what a cut takes away, or has taken away.
func printCut(w io.Writer, report *persistence.CutReport, yes bool, records string) {
	for _, file := range report.Files {
		fmt.Fprintf(w, "file           %s: %d bytes from offset %d on\n", file.Path, file.Bytes, file.Keep)
	}
	for _, path := range report.Snapshots {
		fmt.Fprintf(w, "snapshot       %s knows of frames that go, and goes with them\n", path)
	}
	fmt.Fprintf(w, "in all         %d frames with %s can still be read, from frame %d on\n", report.Frames, records, report.Frame)
	switch {
	case !yes:
		fmt.Fprintln(w, "dry run        nothing was changed; with --yes all of this is cut off")
	case report.SavedIn == "":
		fmt.Fprintln(w, "cut off        nothing, the log ends there already")
	default:
		fmt.Fprintf(w, "cut off        and saved in %s\n", report.SavedIn)
	}
}

// repairAudit cuts the audit log, and then has it begin again with an entry of that.
func repairAudit(dir string, frame uint64, yes bool, w io.Writer) error {
	report, err := persistence.Cut(filepath.Join(dir, auditName), 0, frame, yes, func(p persistence.Position, encoded []byte) error {
		entry, err := audit.Decode(encoded)
		if err != nil {
			fmt.Fprintf(w, "lost           frame %d, record %d: %d bytes that can't be decoded: %v\n", p.Frame, p.Record, len(encoded), err)
			return nil
		}
		fmt.Fprintf(w, "lost           frame %d, record %d: entry %d, %s %s %s\n", p.Frame, p.Record, entry.N, entry.Actor, entry.Action, entry.Target)
		return nil
	})
	if err != nil {
		return err
	}
	printCut(w, &report, yes, fmt.Sprintf("%d entries", report.Records))
	if !yes || report.SavedIn == "" {
		return nil
	}
	return auditRepair(dir, "audit.repair", frame)
}

// auditRepair writes that a log ends before a frame by a person's hand, if the
// directory has an audit log.
func auditRepair(dir, action string, frame uint64) error {
	if !hasAudit(dir) {
		return nil
	}
	log, err := openAudit(dir, time.Minute, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	err = log.Write(actors.Act{Actor: "system", Action: action, Note: fmt.Sprintf("cut off from frame %d on, by %s", frame, versionString())})
	return errors.Join(err, log.journal.Close())
}
