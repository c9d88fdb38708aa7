package main

import (
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/aitbc/exchange/actors"
)

// snapshotOnSignal takes a snapshot on every SIGUSR1, in the background, until stop
// is called. One that comes while a snapshot is taken is told and forgotten.
func snapshotOnSignal(exchange *actors.Exchange, log *slog.Logger) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range signals {
			if err := exchange.StartSnapshot(); err != nil {
				log.Warn("no snapshot on SIGUSR1", slog.Any("error", err))
			}
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
		<-done
	}
}
