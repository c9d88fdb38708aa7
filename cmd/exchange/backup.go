package main

import (
	"fmt"
	"io"

	"github.com/aitbc/exchange/persistence"
)

func backup(args []string, env func(string) string, stdout, _ io.Writer) error {
	dir, to := "./data", ""
	o := newOptions("backup", "Copy the data directory, of a running service or a stopped one, to a new directory,\nand read the copy to its last byte. A service starts on the copy as it is, and knows by\na mark in it that it is one: it skips what may have been given out since.\n\nThe key in --secrets-key-file (secrets.key in the data directory, if none is named) is not\ncopied: keep a copy of it, and not beside the backups. Without it a service does not start\non data that hold secrets of authenticator apps.")
	o.text(&dir, "data", "directory to copy")
	o.text(&to, "to", "directory to make; it must not be there yet")
	if err := o.parse(args, env, stdout); err != nil {
		return err
	}
	if to == "" {
		return &usageError{"-to is missing: the directory to make"}
	}
	report, err := persistence.Backup(dir, to, 0, auditName)
	if err != nil {
		return err
	}
	log := report.Log
	if s := report.Snapshot; s != nil {
		fmt.Fprintf(stdout, "snapshot       %d accounts, %d bytes, up to frame %d\n", s.Entries, s.Bytes, s.Next-1)
	} else {
		fmt.Fprintln(stdout, "snapshot       none")
	}
	fmt.Fprintf(stdout, "log            frames %d to %d, %d records, %d bytes in %d segments, epoch %d\n", log.First, log.Last, log.Records, log.Bytes, log.Segments, log.LastEpoch)
	if t := log.TornTail; t != nil {
		fmt.Fprintf(stdout, "torn tail      %d bytes of a batch that was being written; a start on the copy cuts them off\n", t.Bytes)
	}
	if audit, kept := report.Beside[auditName]; kept {
		fmt.Fprintf(stdout, "audit log      %d entries, %d bytes\n", audit.Records, audit.Bytes)
	}
	fmt.Fprintf(stdout, "verified       %s is whole\n", to)
	return nil
}
