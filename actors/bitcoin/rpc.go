package bitcoin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Limits of an answer, in bytes. A block is at most 4,000,000 bytes, in
// hexadecimal twice that; a mempool of 300,000 transactions lists 67 bytes each.
const (
	maxAnswer = 32 << 20
	maxPass   = 4096
)

// Errors of a node.
var (
	// ErrUnauthorized: the node does not accept the user and password.
	ErrUnauthorized = errors.New("the node refuses the user or password")
	// ErrWrongNetwork: the node is on another network than configured.
	ErrWrongNetwork = errors.New("the node is on another network")
	// ErrAnswerTooLarge: an answer exceeds its limit.
	ErrAnswerTooLarge = errors.New("the node's answer is too large")
)

// RPCError is the node's own refusal of a call.
type RPCError struct {
	Method  string
	Code    int
	Message string
}

func (e *RPCError) Error() string {
	return fmt.Sprintf("%s: the node says %q (code %d)", e.Method, e.Message, e.Code)
}

// Codes of an RPCError that callers tell apart (Bitcoin Core, src/rpc/protocol.h;
// btcd has the same).
const (
	CodeNotFound       = -5  // no such block or transaction
	CodeVerifyRejected = -26 // a transaction breaks a rule of the chain or the node
	CodeAlreadyInChain = -27 // a transaction is in a block already
)

// NodeConfig says where a node is. Every field without a default is required.
type NodeConfig struct {
	Network Network
	URL     string // http://host:port, or https
	User    string
	// PassFile holds the password in its first line. With an empty User it is
	// Bitcoin Core's cookie, user:password. It is read again when the node refuses,
	// because a cookie changes with each start of the node.
	PassFile string
	// Timeout is the longest a call may take. Default 30 s.
	Timeout time.Duration
	// Transport carries the calls. Default: one of its own, without a proxy.
	Transport http.RoundTripper
}

// Node calls a Bitcoin node by JSON-RPC over HTTP: Bitcoin Core, or one that speaks
// its dialect. Its methods may be called from any goroutine.
type Node struct {
	network  Network
	url      string
	user     string
	passFile string
	timeout  time.Duration
	client   http.Client

	mu         sync.Mutex
	fileUser   string // guarded by mu, as the next: what was read from passFile
	pass       string
	credential bool // guarded by mu: both have been read
}

// NewNode prepares calls to a node. It does not connect; Check does.
func NewNode(cfg NodeConfig) (*Node, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("the node's address %q: want http://host:port", redacted(cfg.URL))
	}
	if u.User != nil {
		return nil, errors.New("the node's address holds a password: put it into a file")
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Transport == nil {
		cfg.Transport = &http.Transport{MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute}
	}
	return &Node{
		network: cfg.Network, url: u.String(), user: cfg.User, passFile: cfg.PassFile, timeout: cfg.Timeout,
		client: http.Client{
			Transport: cfg.Transport,
			// A redirect would carry the password elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// redacted hides what may be a password in a URL that could not be read.
func redacted(s string) string {
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		return "…" + s[at:]
	}
	return s
}

// Network returns the network that the node must be on.
func (n *Node) Network() Network { return n.network }

type rpcRequest struct {
	Version string `json:"jsonrpc"`
	ID      int    `json:"id"`
	Method  string `json:"method"`
	Params  []any  `json:"params"`
}

// Call does one call of the dialect that no method of Node is for, and decodes its
// result into result, which may be nil.
func (n *Node) Call(ctx context.Context, result any, method string, params ...any) error {
	if params == nil {
		params = []any{}
	}
	body, err := json.Marshal(rpcRequest{Version: "1.0", ID: 1, Method: method, Params: params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, n.timeout, fmt.Errorf("no answer within %s", n.timeout))
	defer cancel()
	for attempt := 0; ; attempt++ {
		err = n.post(ctx, result, method, body, attempt > 0)
		if !errors.Is(err, ErrUnauthorized) || attempt > 0 {
			break
		}
	}
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%s: %w", method, context.Cause(ctx))
	}
	return err
}

// post does one HTTP request; reread reads the password file again.
func (n *Node) post(ctx context.Context, result any, method string, body []byte, reread bool) error {
	user, pass, err := n.credentials(reread)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	request.SetBasicAuth(user, pass)
	request.Header.Set("Content-Type", "application/json")
	response, err := n.client.Do(request)
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusUnauthorized || response.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%s: %w (HTTP %d)", method, ErrUnauthorized, response.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("%s: reading the answer: %w", method, err)
	}
	if len(answer) > maxAnswer {
		return fmt.Errorf("%s: %w: more than %d bytes", method, ErrAnswerTooLarge, maxAnswer)
	}
	var decoded struct {
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	// Bitcoin Core sends its refusals with status 500 or 404, so the body comes first.
	if err := json.Unmarshal(answer, &decoded); err != nil {
		return fmt.Errorf("%s: HTTP %d, and no JSON-RPC answer: %.100q", method, response.StatusCode, answer)
	}
	if decoded.Error != nil {
		return &RPCError{Method: method, Code: decoded.Error.Code, Message: decoded.Error.Message}
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: HTTP %d without an error", method, response.StatusCode)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(decoded.Result, result); err != nil {
		return fmt.Errorf("%s: unexpected result: %w", method, err)
	}
	return nil
}

func (n *Node) credentials(reread bool) (user, pass string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.credential && !reread {
		return n.fileUser, n.pass, nil
	}
	file, err := os.Open(n.passFile)
	if err != nil {
		return "", "", fmt.Errorf("the node's password: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxPass))
	if err != nil {
		return "", "", fmt.Errorf("the node's password: %w", err)
	}
	line, _, _ := strings.Cut(string(content), "\n")
	line = strings.TrimSuffix(line, "\r")
	n.fileUser, n.pass = n.user, line
	if n.user == "" {
		var isCookie bool
		if n.fileUser, n.pass, isCookie = strings.Cut(line, ":"); !isCookie {
			return "", "", fmt.Errorf("%s: no user is given, so it must hold user:password", n.passFile)
		}
	}
	if n.pass == "" {
		return "", "", fmt.Errorf("%s: the first line is empty", n.passFile)
	}
	n.credential = true
	return n.fileUser, n.pass, nil
}
