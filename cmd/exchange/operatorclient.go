package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/aitbc/exchange/httpapi"
)

// maxOperatorAnswer is the most that is read of an answer, in bytes.
const maxOperatorAnswer = 64 << 20

// operatorClient talks to a running service, which alone may touch its data.
type operatorClient struct {
	server, keyFile string
	key             string
	client          http.Client
}

func (c *operatorClient) options(o *options) {
	c.server, c.client.Timeout = "http://127.0.0.1:8080", 5*time.Minute
	o.text(&c.server, "server", "address of the running service, http://HOST:PORT or https://HOST")
	o.text(&c.keyFile, "key-file", "file with an operator's key in its first line, as KEY, NAME:KEY or NAME:ROLE:KEY; without it the key is taken from "+operatorKeyVariable)
}

// open finds the key.
func (c *operatorClient) open(env func(string) string) error {
	u, err := url.Parse(c.server)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return &usageError{fmt.Sprintf("invalid value %q for flag -server: want http://HOST:PORT or https://HOST", c.server)}
	}
	line := env(operatorKeyVariable)
	if c.keyFile != "" {
		content, err := os.ReadFile(c.keyFile)
		if err != nil {
			return &usageError{fmt.Sprintf("-key-file: %v", err)}
		}
		line, _, _ = strings.Cut(strings.TrimSpace(string(content)), "\n")
	}
	if line == "" {
		return &usageError{"-key-file is missing: the file with an operator's key; or set " + operatorKeyVariable}
	}
	c.key = httpapi.OperatorKeyOf(strings.TrimSpace(line))
	return nil
}

// call sends a request and decodes the answer. A problem is an error with its detail.
func (c *operatorClient) call(method, path string, body, into any) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, strings.TrimSuffix(c.server, "/")+path, reader)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.key)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, maxOperatorAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		var problem struct{ Title, Detail string }
		if json.Unmarshal(content, &problem) != nil || problem.Detail == "" {
			return fmt.Errorf("%s answers with status %d", c.server, response.StatusCode)
		}
		return fmt.Errorf("%s: %s", problem.Title, problem.Detail)
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("the answer of %s: %w", c.server, err)
	}
	return nil
}
