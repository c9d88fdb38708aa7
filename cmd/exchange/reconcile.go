package main

import (
	"encoding/json"
	"fmt"
	"io"
)

// reconcileBlocks is how many blocks are asked for at once.
const reconcileBlocks = 144

// difference is one between log and chain, as the service tells it.
type difference struct {
	Kind   string `json:"kind"`
	Height int    `json:"height"`
	What   string `json:"what"`
	Out    string `json:"out"`
	Log    string `json:"log"`
	Chain  string `json:"chain"`
}

func (d *difference) line() string {
	or := func(s string) string {
		if s == "" {
			return "nothing"
		}
		return s
	}
	return fmt.Sprintf("%-17s  block %d  %s  %s: the log has %s, the chain has %s", d.Kind, d.Height, d.What, d.Out, or(d.Log), or(d.Chain))
}

// reconcile compares the log of a running service with the chain.
func reconcile(args []string, env func(string) string, stdout, stderr io.Writer) error {
	var c operatorClient
	from, to, asJSON := 0, 0, false
	o := newOptions("reconcile", "Compare the log of a running service with its node's chain, block by block, and list\nevery difference. Exit status: 0 there is none, 1 there are some, 2 it could not be\nfound out. Sales and refunds are looked up by the transactions that they name, for\nwhich the node needs an index of transactions.")
	o.integer(&from, "from", 1, 1<<31-1, "height of the first block")
	o.integer(&to, "to", 0, 1<<31-1, "height of the last block; 0 for the newest that the service has followed")
	o.BoolVar(&asJSON, "json", false, "print the differences as JSON lines")
	if err := c.connect(o, args, env, stdout); err != nil {
		return err
	}
	if from == 0 {
		return &usageError{"-from is missing: the height of the first block"}
	}
	seen, blocks := map[string]bool{}, 0
	for next, last := from, to; ; {
		path := fmt.Sprintf("/api/operator/reconcile?from=%d", next)
		if last != 0 {
			path += fmt.Sprintf("&to=%d", min(last, next+reconcileBlocks-1))
		}
		var part struct {
			To          int               `json:"to"`
			Tip         int               `json:"tip"`
			Differences []json.RawMessage `json:"differences"`
		}
		if err := c.call("GET", path, nil, &part); err != nil {
			return &exitStatus{2, err}
		}
		for _, text := range part.Differences {
			if seen[string(text)] { // one payment may be paid in blocks far apart
				continue
			}
			seen[string(text)] = true
			line := string(text)
			if !asJSON {
				var d difference
				if err := json.Unmarshal(text, &d); err != nil {
					return &exitStatus{2, err}
				}
				line = d.line()
			}
			if _, err := fmt.Fprintln(stdout, line); err != nil {
				return &exitStatus{2, err}
			}
		}
		if last == 0 {
			last = part.Tip
		}
		blocks += part.To - next + 1
		if next = part.To + 1; next > last {
			break
		}
	}
	fmt.Fprintf(stderr, "%d blocks compared, %d differences\n", blocks, len(seen))
	if len(seen) > 0 {
		return &exitStatus{1, nil}
	}
	return nil
}
