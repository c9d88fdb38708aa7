package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/aitbc/exchange/actors/webhook"
)

// noticeSettings are the options of serve about who is told of what happens.
type noticeSettings struct {
	webhookURL        string
	webhookSecretFile string
}

func (n *noticeSettings) options(o *options) {
	o.text(&n.webhookURL, "webhook-url", "where notices of what happens to users' money are posted, https:// or a loopback address; with -webhook-secret-file")
	o.text(&n.webhookSecretFile, "webhook-secret-file", "file of the secrets that sign notices, one a line: each notice is signed with all of them, so that they can be rotated")
}

// check finds what no single option shows.
func (n *noticeSettings) check() error {
	if (n.webhookURL == "") != (n.webhookSecretFile == "") {
		return &usageError{"-webhook-url and -webhook-secret-file go together: give both or none"}
	}
	return nil
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
