package main

import (
	"bytes"
	"fmt"
)

// balanceOf reads the member "balance" of a response in base units, exactly.
func balanceOf(body []byte) (int64, error) {
	_, rest, found := bytes.Cut(body, []byte(`"balance":`))
	end := bytes.IndexAny(rest, ",}")
	if !found || end < 0 {
		return 0, fmt.Errorf("no balance in %s", body)
	}
	whole, part, _ := bytes.Cut(bytes.TrimSpace(rest[:end]), []byte{'.'})
	units := int64(0)
	part = append(bytes.Clone(part), "00000000"...)
	if len(part) > 16 {
		return 0, fmt.Errorf("balance %s", rest[:end])
	}
	for _, c := range append(bytes.Clone(whole), part[:8]...) {
		if c < '0' || c > '9' || units > 1<<59 {
			return 0, fmt.Errorf("balance %s", rest[:end])
		}
		units = units*10 + int64(c-'0')
	}
	return units, nil
}
