package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/aitbc/exchange/actors"
	"github.com/aitbc/exchange/actors/secondfactor"
)

// factorSettings are the options of serve about second factors.
type factorSettings struct {
	secondFactor   string // auto, enrolled or required
	stepUpLifetime time.Duration
	secretsKeyFile string
	rate           int // wrong ones an hour of a session; 0 for no limit
}

func (f *factorSettings) options(o *options) {
	*f = factorSettings{secondFactor: "auto", stepUpLifetime: 5 * time.Minute, rate: 10}
	o.choice(&f.secondFactor, "second-factor", []string{"auto", "enrolled", "required"}, "of whom withdrawals, sales and security changes want a second factor: enrolled of those who have one, required of everybody, auto is required with signed logins, but not in demo mode")
	o.duration(&f.stepUpLifetime, "step-up-lifetime", time.Second, 24*time.Hour, "how long a second factor counts")
	o.text(&f.secretsKeyFile, "secrets-key-file", "file of the key that the secrets of authenticator apps are encrypted with, 32 bytes in hexadecimal, made if there is none; secrets.key in -data when not given; keep a copy apart from the backups: without it those secrets are lost")
	o.integer(&f.rate, "factor-rate", 0, maxRate, "wrong second factors an hour of a session, of which half may come at once; three times as many codes of an account; 0 for no limit")
}

// decide fills in what depends on other options.
func (f *factorSettings) decide(auth string, demo bool) {
	if f.secondFactor == "auto" {
		f.secondFactor = "enrolled"
		if auth == "signed" && !demo {
			f.secondFactor = "required"
		}
	}
}

// config opens what second factors take. origins are where the service is reached. The
// key is made by the caller once nothing is known to be encrypted with another one.
func (f *factorSettings) config(data string, origins []string, log *slog.Logger) (actors.FactorConfig, error) {
	config := actors.FactorConfig{Required: f.secondFactor == "required", Lifetime: f.stepUpLifetime}
	path := f.secretsKeyFile
	if path == "" {
		path = filepath.Join(data, "secrets.key")
	}
	var err error
	if config.Secrets, err = secondfactor.OpenSecrets(path, rand.Reader); err != nil {
		return config, fmt.Errorf("-secrets-key-file: %w", err)
	}
	config.Passkeys, err = secondfactor.NewCeremonies("AITBC Exchange", origins, time.Now)
	if errors.Is(err, secondfactor.ErrNoHost) {
		log.Info("there are no passkeys: -public-origin has no domain name, which they are bound to", slog.Any("error", err))
		err = nil
	}
	return config, err
}
