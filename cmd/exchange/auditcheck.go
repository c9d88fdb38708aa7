package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/account"
	"github.com/aitbc/exchange/actors/audit"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// auditCheck holds the log of events against the audit log of a data directory, and
// that against a head that was noted outside.
type auditCheck struct {
	dir   string
	noted actors.AuditHead // N 0: none

	chain   audit.Chain
	begins  int64              // time of the first entry
	entries map[actors.Act]int // acts, without their notes, and how many entries each has
	kept    bool
	tail    *local.Tail
	known   bool // the noted head is the chain's at that entry

	acts    map[actors.Act]int // that events show, since the audit log began
	earlier int                // events of before
}

// parseHead reads what AuditHead.String writes.
func parseHead(text string) (actors.AuditHead, error) {
	var head actors.AuditHead
	n, hash, found := strings.Cut(text, ":")
	var err error
	head.N, err = strconv.ParseUint(n, 10, 64)
	raw, wrong := hex.DecodeString(hash)
	if !found || err != nil || wrong != nil || head.N == 0 || len(raw) != len(head.Hash) {
		return actors.AuditHead{}, errors.New("want N:HASH, as the service's log has it")
	}
	head.Hash = audit.Hash(raw)
	return head, nil
}

func printHead(head actors.AuditHead) string {
	if head.N == 0 {
		return ""
	}
	return head.String()
}

// read follows the chain to its end. Its error is of a log that can't be read, or does
// not follow.
func (c *auditCheck) read() error {
	c.entries, c.acts = map[actors.Act]int{}, map[actors.Act]int{}
	if c.kept = hasAudit(c.dir); !c.kept {
		return nil
	}
	report, err := scanAudit(c.dir, &c.chain, func(entry actors.AuditEntry) error {
		if entry.N == 1 {
			c.begins = entry.At
		}
		if entry.N == c.noted.N {
			c.known = entry.Hash == c.noted.Hash
		}
		c.entries[actors.Act{Actor: entry.Actor, Action: entry.Action, Target: entry.Target}]++
		return nil
	})
	c.tail = report.TornTail
	return err
}

// scanAudit calls fn with every entry of the audit log of a stopped service, and leaves
// chain at its end.
func scanAudit(dir string, chain *audit.Chain, fn func(actors.AuditEntry) error) (local.ScanReport, error) {
	dir = filepath.Join(dir, auditName)
	report, err := local.Scan(dir, 0, func(p persistence.Position, encoded []byte) error {
		entry, err := chain.Follow(encoded)
		if err != nil {
			return fmt.Errorf("frame %d, record %d: %w", p.Frame, p.Record, err)
		}
		return fn(actors.AuditEntry{Entry: entry, Hash: chain.Head()})
	})
	if err != nil {
		return report, fmt.Errorf("audit log in %s: %w", dir, err)
	}
	return report, nil
}

// visit counts the acts that a record shows.
func (c *auditCheck) visit(r *account.Record) {
	for _, event := range r.Events {
		switch act := actors.ActOfEvent(r.User, event); {
		case act.Action == "":
		case !c.kept || int64(r.At)*1000 < c.begins:
			c.earlier++
		default:
			c.acts[act]++
		}
	}
}

// report prints what was found, and returns what is not in order.
func (c *auditCheck) report(w io.Writer) (faults []string) {
	if !c.kept {
		fmt.Fprintf(w, "audit log      none, for %d acts\n", c.earlier)
		if c.noted.N != 0 {
			faults = append(faults, fmt.Sprintf("there is no audit log, it had %d entries", c.noted.N))
		}
		return faults
	}
	head := actors.AuditHead{N: c.chain.Len(), Hash: c.chain.Head()}
	acts := 0
	for _, n := range c.acts {
		acts += n
	}
	fmt.Fprintf(w, "audit log      %d entries for %d acts, head %s\n", head.N, acts, head)
	if c.earlier > 0 {
		fmt.Fprintf(w, "before it      %d acts, before the audit log's first entry\n", c.earlier)
	}
	if t := c.tail; t != nil {
		fmt.Fprintf(w, "torn tail      %d bytes at offset %d of %s were never acknowledged; the next start cuts them off\n", t.Bytes, t.Offset, t.File)
	}
	switch {
	case c.noted.N == 0 || c.known:
	case head.N < c.noted.N:
		faults = append(faults, fmt.Sprintf("the audit log has %d entries, it had %d: its end was cut off", head.N, c.noted.N))
	default:
		faults = append(faults, fmt.Sprintf("entry %d of the audit log is not the one that was noted: it was written anew", c.noted.N))
	}
	order := func(a, b actors.Act) int {
		return strings.Compare(a.Actor+a.Action+a.Target, b.Actor+b.Action+b.Target)
	}
	for _, act := range slices.SortedFunc(maps.Keys(c.acts), order) {
		if n, entries := c.acts[act], c.entries[act]; n > entries {
			faults = append(faults, fmt.Sprintf("%s did %s on %s %d times, the audit log has %d entries of it", act.Actor, act.Action, act.Target, n, entries))
		}
	}
	return faults
}
