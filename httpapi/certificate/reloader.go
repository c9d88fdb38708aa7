package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Config is what a Reloader needs. Fields without a default are required.
type Config struct {
	CertFile string // PEM: the certificate and then those that signed it
	KeyFile  string // PEM
	Logger   *slog.Logger
	Now      func() time.Time
}

// Reloader holds the certificate in use. TLS may be called from any goroutine; Run
// and Check are one goroutine's.
type Reloader struct {
	cfg  Config
	cert atomic.Pointer[tls.Certificate]

	seen   [2]stamp // of the files that were last tried; Check's own
	failed bool     // whether they could not be used; Check's own
}

// stamp tells whether a file has changed. Tools that renew certificates write a new
// file and rename it, so its inode's change shows in the time.
type stamp struct {
	modified time.Time
	size     int64
}

// New reads the files. An error names the file and says what is wrong with it.
func New(cfg Config) (*Reloader, error) {
	r := &Reloader{cfg: cfg}
	seen, err := r.stamps()
	if err != nil {
		return nil, err
	}
	cert, err := r.load()
	if err != nil {
		return nil, err
	}
	r.seen = seen
	r.cert.Store(cert)
	return r, nil
}

// TLS is the configuration of a listener: TLS 1.2 with forward secrecy and an AEAD, or
// 1.3, and always the certificate that was taken last.
func (r *Reloader) TLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.cert.Load(), nil },
	}
}

// Run looks at the files each interval and whenever reload is sent to (on SIGHUP),
// until ctx is done.
func (r *Reloader) Run(ctx context.Context, interval time.Duration, reload <-chan os.Signal) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			r.Check(false)
		case <-reload:
			r.Check(true)
		}
	}
}

// Check takes the files' certificate if they have changed, or in any case if forced.
// What can't be used is logged once and leaves the certificate that is in use; a pair
// of which one file is new and the other still old comes right by itself.
func (r *Reloader) Check(forced bool) {
	seen, err := r.stamps()
	if err == nil {
		if seen == r.seen && !forced {
			return
		}
		var cert *tls.Certificate
		if cert, err = r.load(); err == nil {
			// A file that changed while it was read is read again next time.
			r.seen, r.failed = seen, false
			r.cert.Store(cert)
			r.cfg.Logger.Info("new TLS certificate", slog.String("file", r.cfg.CertFile), slog.String("serial", cert.Leaf.SerialNumber.Text(16)),
				slog.Time("expires", cert.Leaf.NotAfter))
			return
		}
	}
	if !r.failed || seen != r.seen || forced {
		r.cfg.Logger.Error("TLS certificate files can't be used, keeping the certificate in use", slog.Any("error", err),
			slog.Time("expires", r.cert.Load().Leaf.NotAfter))
	}
	r.seen, r.failed = seen, true
}

func (r *Reloader) stamps() (seen [2]stamp, err error) {
	for i, path := range []string{r.cfg.CertFile, r.cfg.KeyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return [2]stamp{}, err
		}
		seen[i] = stamp{info.ModTime(), info.Size()}
	}
	return seen, nil
}

func (r *Reloader) load() (*tls.Certificate, error) {
	info, err := os.Stat(r.cfg.KeyFile)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o007 != 0 {
		return nil, fmt.Errorf("%s has mode %04o: everybody may use the private key", r.cfg.KeyFile, mode)
	}
	cert, err := tls.LoadX509KeyPair(r.cfg.CertFile, r.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", r.cfg.CertFile, r.cfg.KeyFile, err)
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return nil, fmt.Errorf("%s: %w", r.cfg.CertFile, err)
		}
	}
	switch now := r.cfg.Now(); {
	case !now.Before(cert.Leaf.NotAfter):
		return nil, fmt.Errorf("%s expired at %s", r.cfg.CertFile, cert.Leaf.NotAfter.Format(time.RFC3339))
	case now.Before(cert.Leaf.NotBefore):
		return nil, fmt.Errorf("%s is not valid before %s", r.cfg.CertFile, cert.Leaf.NotBefore.Format(time.RFC3339))
	case len(cert.Leaf.DNSNames)+len(cert.Leaf.IPAddresses) == 0:
		return nil, errors.New(r.cfg.CertFile + " names no host (subject alternative name)")
	}
	return &cert, nil
}
