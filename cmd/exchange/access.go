package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/aitbc/exchange/actors/bitcoin"
	"github.com/aitbc/exchange/httpapi"
	"github.com/aitbc/exchange/httpapi/accesstoken"
	"github.com/aitbc/exchange/httpapi/certificate"
	"github.com/aitbc/exchange/httpapi/throttle"
	"github.com/aitbc/exchange/httpapi/walletproof"
)

// statement is what a wallet shows of what is signed.
const statement = "Log in to the AITBC exchange. This moves nothing and costs nothing."

// maxRate bounds the limits of requests, a minute.
const maxRate = 100_000_000

// accessSettings are the options of serve about who gets in.
type accessSettings struct {
	auth           string // auto, signed or open
	publicOrigin   string
	bitcoinNetwork string
	chainID        int
	throttle       string // auto, on or off
	addressRate    int    // a minute; 0 for no limit
	accountRate    int
	loginRate      int
	proxies        string
	proxyHeader    string
	tlsCert        string
	tlsKey         string
	tokenKeyFile   string
	tokenAudiences string
	factors        factorSettings
}

func (a *accessSettings) options(o *options) {
	*a = accessSettings{auth: "auto", bitcoinNetwork: bitcoin.Mainnet.String(), chainID: 1,
		throttle: "auto", addressRate: 3000, accountRate: 1200, loginRate: 30, proxyHeader: string(throttle.XForwardedFor)}
	o.choice(&a.auth, "auth", []string{"auto", "signed", "open"}, "how a wallet logs in: signed wants its signature, open only its address, auto is open in demo mode alone")
	o.text(&a.publicOrigin, "public-origin", "where users reach the service, such as https://exchange.example, or several separated by commas; stands in what a wallet signs; needed for signed logins unless --listen is a loopback address")
	o.choice(&a.bitcoinNetwork, "bitcoin-network", bitcoin.NetworkNames(), "network that the Bitcoin node must be on, and whose addresses may log in")
	o.integer(&a.chainID, "ethereum-chain-id", 1, 1<<53, "chain id (EIP-155) that stands in what an Ethereum wallet signs")
	o.choice(&a.throttle, "throttle", []string{"auto", "on", "off"}, "whether requests are limited; auto is off in demo mode alone")
	o.integer(&a.addressRate, "address-rate", 0, maxRate, "requests a minute of a client's address, of which a fifth may come at once; 0 for no limit")
	o.integer(&a.accountRate, "account-rate", 0, maxRate, "requests a minute of an account's sessions, of which a fifth may come at once; 0 for no limit")
	o.integer(&a.loginRate, "login-rate", 0, maxRate, "logins a minute of an account, and nonces, failed logins and wrong second factors of an address, of which a fifth may come at once, at least 10; 0 for no limit")
	o.text(&a.proxies, "trusted-proxies", "addresses and networks of proxies whose word for a client's address is taken, separated by commas, such as 10.0.0.0/8; without it none is")
	o.choice(&a.proxyHeader, "trusted-proxy-header", []string{string(throttle.XForwardedFor), string(throttle.Forwarded)}, "header field in which a trusted proxy gives the client's address")
	o.text(&a.tlsCert, "tls-cert", "file of the TLS certificate and those that signed it (PEM); with -tls-key the service speaks HTTPS; a new one is taken within a minute, and at once on SIGHUP")
	o.text(&a.tlsKey, "tls-key", "file of the certificate's private key (PEM), which not everybody may read")
	a.factors.options(o)
	o.text(&a.tokenKeyFile, "access-token-key-file", "file of the keys that sign access tokens for other services, made if there is none; with -access-token-audiences")
	o.text(&a.tokenAudiences, "access-token-audiences", "services that users may have access tokens for, separated by commas, such as https://pool.example; without it there are none")
}

// check finds what no single option shows, and fills in what depends on others.
func (a *accessSettings) check(listen string, demo bool) error {
	if a.auth == "auto" {
		a.auth = "signed"
		if demo {
			a.auth = "open"
		}
	}
	a.factors.decide(a.auth, demo)
	if a.auth == "signed" && a.publicOrigin == "" && !isLoopback(listen) {
		return &usageError{"signed logins need -public-origin, the address in the user's browser, such as https://exchange.example"}
	}
	if a.throttle == "auto" {
		a.throttle = "on"
		if demo {
			a.throttle = "off"
		}
	}
	if (a.tlsCert == "") != (a.tlsKey == "") {
		return &usageError{"-tls-cert and -tls-key go together: give both or none"}
	}
	if (a.tokenKeyFile == "") != (a.tokenAudiences == "") {
		return &usageError{"-access-token-key-file and -access-token-audiences go together: give both or none"}
	}
	if _, err := a.limits(); err != nil {
		return err
	}
	_, err := a.origins(listen)
	return err
}

// origins are where the service is reached.
func (a *accessSettings) origins(listen string) ([]string, error) {
	if a.publicOrigin == "" {
		_, port, _ := net.SplitHostPort(listen)
		scheme := "http://"
		if a.tlsCert != "" {
			scheme = "https://"
		}
		origins := []string{scheme + listen}
		if local := scheme + "localhost:" + port; isLoopback(listen) && local != origins[0] {
			origins = append(origins, local)
		}
		return origins, nil
	}
	origins := strings.Split(a.publicOrigin, ",")
	for i, origin := range origins {
		origin = strings.TrimSuffix(strings.TrimSpace(origin), "/")
		u, err := url.Parse(origin)
		if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.Scheme+"://"+u.Host != origin {
			return nil, &usageError{fmt.Sprintf("invalid value %q for flag -public-origin: want a scheme and a host, such as https://exchange.example", origin)}
		}
		origins[i] = origin
	}
	return origins, nil
}

// logins returns how a login is proved. listen is the address that is served.
func (a *accessSettings) logins(listen string) (httpapi.Logins, error) {
	if a.auth != "signed" {
		return httpapi.Logins{}, nil
	}
	origins, err := a.origins(listen)
	if err != nil {
		return httpapi.Logins{}, err
	}
	network, err := bitcoin.ParseNetwork(a.bitcoinNetwork)
	if err != nil {
		return httpapi.Logins{}, errors.Join(errors.New("-bitcoin-network"), err)
	}
	verifier, err := walletproof.New(walletproof.Config{
		Origins: origins, Statement: statement, ChainID: uint64(a.chainID), Bitcoin: network.Params(), Random: rand.Reader, Now: time.Now,
	})
	return httpapi.Logins{Verifier: verifier, Origins: origins}, err
}

// limits returns how often who may ask.
func (a *accessSettings) limits() (httpapi.Limits, error) {
	limits := httpapi.Limits{}
	if a.proxies != "" {
		var err error
		if limits.Proxies, err = throttle.ParseProxies(throttle.Field(a.proxyHeader), a.proxies); err != nil {
			return limits, &usageError{fmt.Sprintf("invalid value %q for flag -trusted-proxies: %v", a.proxies, err)}
		}
	}
	if a.throttle == "on" {
		for _, limit := range []struct {
			to    *throttle.Policy
			name  string
			count int
		}{{&limits.Address, "address", a.addressRate}, {&limits.Account, "account", a.accountRate}, {&limits.Login, "login", a.loginRate}} {
			if limit.count > 0 {
				*limit.to = httpapi.PerMinute(limit.name, limit.count)
			}
		}
		if a.factors.rate > 0 {
			limits.Factor = httpapi.FactorsPerHour("factor", a.factors.rate)
		}
	}
	return limits, nil
}

// certificateInterval is how often the certificate's files are looked at.
const certificateInterval = 30 * time.Second

// certificate returns the TLS configuration, nil if there is none. It follows the
// files until ctx is done.
func (a *accessSettings) certificate(ctx context.Context, log *slog.Logger) (*tls.Config, error) {
	if a.tlsCert == "" {
		return nil, nil
	}
	reloader, err := certificate.New(certificate.Config{CertFile: a.tlsCert, KeyFile: a.tlsKey, Logger: log, Now: time.Now})
	if err != nil {
		return nil, fmt.Errorf("-tls-cert and -tls-key: %w", err)
	}
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	go func() {
		defer signal.Stop(reload)
		reloader.Run(ctx, certificateInterval, reload)
	}()
	return reloader.TLS(), nil
}

// rotationInterval is how often the keys of access tokens are looked at.
const rotationInterval = time.Hour

// accessTokens returns what issues tokens, and rotates its keys until ctx is done.
func (a *accessSettings) accessTokens(ctx context.Context, listen string, log *slog.Logger) (httpapi.AccessTokens, error) {
	if a.tokenKeyFile == "" {
		return httpapi.AccessTokens{}, nil
	}
	origins, err := a.origins(listen)
	if err != nil {
		return httpapi.AccessTokens{}, err
	}
	var audiences []string
	for audience := range strings.SplitSeq(a.tokenAudiences, ",") {
		audiences = append(audiences, strings.TrimSpace(audience))
	}
	issuer, err := accesstoken.Open(accesstoken.Config{File: a.tokenKeyFile, Issuer: origins[0], Random: rand.Reader, Now: time.Now})
	if err != nil {
		return httpapi.AccessTokens{}, fmt.Errorf("-access-token-key-file: %w", err)
	}
	go func() {
		ticker := time.NewTicker(rotationInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if err := issuer.Rotate(); err != nil {
					log.Error("the keys of access tokens can't be rotated, keeping those in use", slog.Any("error", err))
				}
			}
		}
	}()
	return httpapi.AccessTokens{Issuer: issuer, Audiences: audiences}, nil
}
