package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/persistence"
	"github.com/aitbc/exchange/persistence/local"
)

// auditName is the directory of the audit log, within the data directory.
const auditName = "audit"

// auditSegmentBytes is small: the last segment is held in memory.
const auditSegmentBytes = 1 << 20

// headInterval is how often the head of the audit log is told.
const headInterval = time.Hour

// auditJournal is the audit log and what it is kept in.
type auditJournal struct {
	*actors.AuditLog
	journal *persistence.Journal
	log     *slog.Logger
}

// openAudit follows the audit log of a data directory that the caller has locked, and
// makes it ready to be written. timeout is how long an act waits for its entry.
func openAudit(dir string, timeout time.Duration, log *slog.Logger) (*auditJournal, error) {
	store, err := local.Open(local.Config{Dir: filepath.Join(dir, auditName), SegmentBytes: auditSegmentBytes, Logger: log})
	if err != nil {
		return nil, err
	}
	journal, err := persistence.Open(persistence.Config{Log: store})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	kept, err := actors.OpenAuditLog(journal, time.Now, timeout)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", filepath.Join(dir, auditName), err), journal.Close())
	}
	return &auditJournal{kept, journal, log}, nil
}

// started writes that the service runs, and tells the head from then on, until ctx is
// done.
func (a *auditJournal) started(ctx context.Context) error {
	if err := a.Write(actors.Act{Actor: "system", Action: "service.start", Note: versionString()}); err != nil {
		return err
	}
	a.tellHead()
	go func() {
		ticker := time.NewTicker(headInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				a.tellHead()
			case <-ctx.Done():
				return
			}
		}
	}()
	return nil
}

// tellHead writes the head to where it may survive this machine: verify takes it.
func (a *auditJournal) tellHead() {
	a.log.Info("audit log", slog.String("head", a.Head().String()))
}

// close writes that the service stops, if it ran, and closes the log. orderly is false
// where the service stops for a failure, which has been told already.
func (a *auditJournal) close(ran, orderly bool) error {
	var err error
	if ran {
		note := versionString()
		if !orderly {
			note += ", after a failure"
		}
		if err = a.Write(actors.Act{Actor: "system", Action: "service.stop", Note: note}); err == nil {
			a.tellHead()
		}
	}
	err = errors.Join(err, a.journal.Close())
	if !orderly {
		return nil
	}
	return err
}

// hasAudit reports whether a data directory has an audit log.
func hasAudit(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, auditName, "log"))
	return err == nil
}
