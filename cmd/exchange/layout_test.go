package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// mayImport are the packages of this project that each of its packages may import, apart
// from its tests. A package that is not here may import none.
var mayImport = map[string][]string{
	"cmd/exchange": {
		"actors", "actors/account", "actors/audit", "actors/bitcoin", "actors/mail", "actors/rates", "actors/secondfactor", "actors/webhook",
		"httpapi", "httpapi/accesstoken", "httpapi/certificate", "httpapi/throttle", "httpapi/walletproof",
		"persistence", "persistence/local",
	},
	"httpapi": {
		"actors", "actors/account", "actors/bitcoin", "actors/secondfactor",
		"httpapi/accesstoken", "httpapi/eventloop", "httpapi/throttle", "httpapi/walletproof",
	},
	"httpapi/accesstoken":                 {"actors/keyfile"},
	"httpapi/walletproof/walletprooftest": {"httpapi/walletproof"},
	"actors":                              {"actors/account", "actors/audit", "actors/bitcoin", "actors/delivery", "actors/mail", "actors/secondfactor", "actors/webhook", "persistence"},
	"actors/bitcoin":                      {"actors/account"},
	"actors/bitcoin/bitcointest":          {"actors/bitcoin", "actors/exchangetest"},
	"actors/rates":                        {"actors/account"},
	"actors/secondfactor":                 {"actors/keyfile"},
	"bench":                               {"actors/account", "bench/peer", "persistence", "persistence/local"},
	"bench/peer/sqlite":                   {"bench/peer"},
	"persistence":                         {"persistence/format"},
	"persistence/local":                   {"persistence", "persistence/format"},
	"persistence/persistencetest":         {"persistence", "persistence/format"},
}

// TestArrowsRunOneWay holds the imports to the layout that the README draws: cmd,
// httpapi, actors, and below it what knows nothing of what is above.
func TestArrowsRunOneWay(t *testing.T) {
	const module = "github.com/aitbc/exchange/"
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "./...")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	arrows := 0
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		from := strings.TrimPrefix(fields[0], module)
		for _, path := range fields[1:] {
			to, ours := strings.CutPrefix(path, module)
			if !ours {
				continue
			}
			arrows++
			if !slices.Contains(mayImport[from], to) {
				t.Errorf("%s imports %s, which the layout does not allow: give it what it needs of that by a hook or a small interface, or change the layout on purpose", from, to)
			}
		}
	}
	if arrows == 0 {
		t.Error("go list showed no import of ours")
	}
}
