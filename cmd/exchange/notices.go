package main

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/aitbc/exchange/actors/mail"
	"github.com/aitbc/exchange/actors/webhook"
)

// noticeSettings are the options of serve about who is told of what happens.
type noticeSettings struct {
	webhookURL        string
	webhookSecretFile string

	smtp, smtpSecurity     string
	smtpUser, smtpPassFile string
	mailFrom               string

	recoveryDelay time.Duration
}

func (n *noticeSettings) options(o *options) {
	n.smtpSecurity, n.recoveryDelay = string(mail.StartTLS), 72*time.Hour
	o.duration(&n.recoveryDelay, "recovery-delay", time.Second, 30*24*time.Hour, "how long it takes until the second factors of who has lost them are removed; the user is written to meanwhile, and can stop it")
	o.text(&n.smtp, "smtp", "mail server that users are written to by, as HOST:PORT; without it they are not")
	o.choice(&n.smtpSecurity, "smtp-security", []string{string(mail.StartTLS), string(mail.TLS), string(mail.Clear)}, "how the connection to the mail server is protected; none is for a loopback address alone")
	o.text(&n.smtpUser, "smtp-user", "user of the mail server, where it asks for one; with -smtp-pass-file")
	o.text(&n.smtpPassFile, "smtp-pass-file", "file with the password of the mail server")
	o.text(&n.mailFrom, "mail-from", "e-mail address that users are written to from; with -smtp")
	o.text(&n.webhookURL, "webhook-url", "where notices of what happens to users' money are posted, https:// or a loopback address; with -webhook-secret-file")
	o.text(&n.webhookSecretFile, "webhook-secret-file", "file of the secrets that sign notices, one a line: each notice is signed with all of them, so that they can be rotated")
}

// check finds what no single option shows.
func (n *noticeSettings) check() error {
	if (n.webhookURL == "") != (n.webhookSecretFile == "") {
		return &usageError{"-webhook-url and -webhook-secret-file go together: give both or none"}
	}
	switch {
	case (n.smtp == "") != (n.mailFrom == ""):
		return &usageError{"-smtp and -mail-from go together: give both or none"}
	case n.smtp == "" && (n.smtpUser != "" || n.smtpPassFile != ""):
		return &usageError{"-smtp-user and -smtp-pass-file are for the server that -smtp names"}
	case (n.smtpUser == "") != (n.smtpPassFile == ""):
		return &usageError{"-smtp-user and -smtp-pass-file go together: give both or none"}
	}
	return nil
}

// mailName is what the exchange calls itself in its mail.
const mailName = "AITBC Exchange"

// mail returns what sends mail, nil where there is none. site is where users reach the
// service.
func (n *noticeSettings) mail(site string, log *slog.Logger) (*mail.Sender, error) {
	if n.smtp == "" {
		return nil, nil
	}
	host, port, err := net.SplitHostPort(n.smtp)
	number, wrong := strconv.ParseUint(port, 10, 16)
	if err != nil || wrong != nil || host == "" || number == 0 {
		return nil, &usageError{fmt.Sprintf("invalid value %q for flag -smtp: want HOST:PORT, such as mail.example:587", n.smtp)}
	}
	password := ""
	if n.smtpPassFile != "" {
		text, err := os.ReadFile(n.smtpPassFile)
		if err != nil {
			return nil, &usageError{fmt.Sprintf("-smtp-pass-file: %v", err)}
		}
		password = strings.TrimRight(string(text), "\r\n")
	}
	sender, err := mail.NewSender(mail.SenderConfig{
		Host: host, Port: int(number), Security: mail.Security(n.smtpSecurity), Username: n.smtpUser, Password: password,
		From: n.mailFrom, Exchange: mailName, Site: site, Now: time.Now,
	})
	if err != nil {
		return nil, &usageError{err.Error()}
	}
	log.Info("users are written to", slog.String("smtp", n.smtp), slog.String("security", n.smtpSecurity), slog.String("from", n.mailFrom))
	return sender, nil
}

// webhook returns what posts notices, nil where there is none.
func (n *noticeSettings) webhook(log *slog.Logger) (*webhook.Sender, error) {
	if n.webhookURL == "" {
		return nil, nil
	}
	file, err := os.Open(n.webhookSecretFile)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("-webhook-secret-file: %v", err)}
	}
	defer file.Close()
	secrets, err := webhook.ReadSecrets(file)
	if err != nil {
		return nil, &usageError{fmt.Sprintf("-webhook-secret-file %s: %v", n.webhookSecretFile, err)}
	}
	sender, err := webhook.NewSender(webhook.Config{URL: n.webhookURL, Secrets: secrets})
	if err != nil {
		return nil, &usageError{fmt.Sprintf("-webhook-url: %v", err)}
	}
	log.Info("notices are posted to the webhook", slog.Int("secrets", len(secrets))) // its address may be a secret
	return sender, nil
}
