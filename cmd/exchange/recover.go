package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/httpapi"
)

// recover reads the snapshot and the log, telling how far it is: /readyz all the
// time, and a person by a bar on bar, a terminal, or by log lines if that is nil.
func (s *settings) recover(ctx context.Context, exchange *actors.Exchange, server *httpapi.Server, bar io.Writer, log *slog.Logger) error {
	const barEvery, lineEvery = 100 * time.Millisecond, time.Second
	var last actors.Progress
	var told time.Time
	err := exchange.Recover(ctx, func(p actors.Progress) {
		server.SetProgress(p)
		last = p
		switch now := time.Now(); {
		case bar != nil && now.Sub(told) > barEvery:
			told = now
			fmt.Fprint(bar, "\r"+progressBar(p)+"\x1b[K")
		case bar == nil && now.Sub(told) > lineEvery:
			if !told.IsZero() { // a short recovery needs no lines
				log.Info("recovering", slog.String("stage", string(p.Stage)), slog.Float64("percent", float64(int(p.Percent()*10))/10),
					slog.Duration("remaining", p.Remaining().Round(time.Second)), slog.Uint64("records", p.Records),
					slog.Uint64("events_per_second", eventRate(p)))
			}
			told = now
		}
	})
	if bar != nil {
		fmt.Fprint(bar, "\r\x1b[K")
	}
	if err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	log.Info("recovered", slog.Int("accounts", exchange.Stats().Accounts), slog.Uint64("records", last.Records),
		slog.Uint64("events", last.Events), slog.Duration("took", last.Took.Round(time.Microsecond)))
	return nil
}

// progressBar is one line of at most 80 columns.
func progressBar(p actors.Progress) string {
	const width = 30
	done := int(p.Percent() / 100 * width)
	line := fmt.Sprintf("%-8s [%s%s] %5.1f %%", p.Stage, strings.Repeat("#", done), strings.Repeat(".", width-done), p.Percent())
	if p.Stage == actors.StageLog {
		line += fmt.Sprintf(", %.1f M events/s", float64(eventRate(p))/1e6)
	}
	if left := p.Remaining(); left > 0 {
		line += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return line
}

// eventRate is how many events a second the log has given so far.
func eventRate(p actors.Progress) uint64 {
	if p.Stage != actors.StageLog || p.InStage <= 0 {
		return 0
	}
	return uint64(float64(p.Events) / p.InStage.Seconds())
}

// terminal returns w if a person watches it, nil otherwise.
func terminal(w io.Writer) io.Writer {
	if file, ok := w.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" && file.Name() != os.DevNull {
			return w
		}
	}
	return nil
}
