# make run and make test are all that a fresh machine with Go and make needs.

BIN     := bin/exchange
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: run build test sim deps vendor-check lint vuln bench bench-deps fuzz docs-viewer clean

## run: build the service and serve on 127.0.0.1:8080 in demo mode, data in ./data
run: build
	$(BIN) serve --listen 127.0.0.1:8080 --data ./data --demo

## build: build bin/exchange
build:
	go build -trimpath -ldflags '-X main.buildVersion=$(VERSION)' -o $(BIN) ./cmd/exchange

## test: run every test with the race detector, then those that count allocations or time without it
test: deps
	go test -race -timeout 25m ./...
	go test -run 'Allocat|TheTimeOf' ./...

## sim: run N random histories against the model, and N on a Bitcoin chain
N ?= 10000
sim:
	go test -v -count=1 -run 'Test(Bitcoin)?Simulation$$' -timeout 0 ./actors -histories $(N)

## deps: install what the tests need besides Go where that is allowed, or say what to install
deps:
	@missing=; \
	command -v "$$(go env CC)" >/dev/null || missing="$$missing gcc libc6-dev"; \
	found=; for browser in "$$EXCHANGE_CHROMIUM" chromium chromium-browser google-chrome; do \
		if test -n "$$browser" && command -v "$$browser" >/dev/null; then found=1; fi; \
	done; \
	test -n "$$found" || missing="$$missing chromium"; \
	for tool in curl jq; do command -v $$tool >/dev/null || missing="$$missing $$tool"; done; \
	if test -z "$$missing"; then exit 0; fi; \
	if test "$$(id -u)" = 0 && command -v apt-get >/dev/null && apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; then exit 0; fi; \
	echo "The tests need:$$missing (the race detector a C compiler, the browser tests Chromium, the README its curl and jq). On Debian, as root: apt-get install$$missing"

## vendor-check: compare the vendored files with their npm packages (needs npm)
vendor-check:
	sh httpapi/web/vendor.sh

# The tools that only look at the code have a go.mod of their own: in the main one
# they would lift the versions of what the service is built from.
TOOL := go tool -modfile=.ci/tools/go.mod

# What gosec is not asked, because it cannot tell:
# - G115, an integer that another type may not hold: it sees the conversion, not the bound
#   ahead of it (117 findings were read, in codecs for the most part, and none was true).
# - In persistence G304, a file named by a variable: the operator names the data directory.
# - In bench what a program does that a developer runs by hand: it starts others, reads and
#   writes files named on its command line, makes system calls itself, draws users at random,
#   and its peers serve loopback without time limits, which would cost them.
GOSEC := -exclude=G115 -exclude-rules='persistence/.*:G304;bench/.*:G103,G114,G204,G301,G302,G304,G306,G404,G602,G703,G705' \
	-nosec-require-rules -nosec-require-justification

## lint: gofmt, go vet, staticcheck and gosec, and a tidy go.mod
lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	$(TOOL) gosec -quiet -color=false $(GOSEC) ./...
	go mod tidy -diff

## vuln: look up what is built in Go's database of known vulnerabilities (needs the network)
# Where the database can't be reached it says so in its last line, and is no failure.
# VULNDB names another database, such as a copy: file:///path.
VULNDB ?=
vuln:
	@out=$$($(TOOL) govulncheck $(if $(VULNDB),-db $(VULNDB)) ./... 2>&1); status=$$?; echo "$$out"; \
	if [ $$status != 0 ] && echo "$$out" | grep -q '^govulncheck: fetching vulnerabilities'; then \
		echo "NOT CHECKED for known vulnerabilities: the database could not be reached."; \
	else exit $$status; fi

## bench: measure against an empty HTTP handler, PostgreSQL, Redis and SQLite in the same run
bench:
	go run ./bench

## bench-deps: install what bench compares with, from Debian's packages
bench-deps:
	@missing=; \
	ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v wrk >/dev/null || missing="$$missing wrk"; \
	if test -z "$$missing"; then echo "bench has all that it compares with"; \
	elif test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null; then \
		echo "bench needs:$$missing. On Debian, as root: apt-get install$$missing" >&2; exit 1; \
	else apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $$missing; fi

## fuzz: fuzz every decoder, FUZZTIME each; it fails at the end if an input that fails was written
# A target also ends with "context deadline exceeded" and no such input, when its time
# is up in the middle of one: that is no finding.
FUZZTIME ?= 5m
fuzz:
	@log=$$(mktemp) && trap 'rm -f "$$log"' EXIT && packages=$$(go list ./...) || exit 1; found=; \
	for package in $$packages; do \
		targets=$$(go test -list '^Fuzz' $$package) || exit 1; \
		for target in $$(echo "$$targets" | grep '^Fuzz'); do \
			if { go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package 2>&1; echo "exit $$?"; } | tee "$$log" | grep -v '^exit [0-9]*$$'; \
				grep -q '^exit 0$$' "$$log"; then continue; fi; \
			if grep -q 'context deadline exceeded' "$$log" && ! grep -q 'Failing input written to' "$$log"; then continue; fi; \
			found="$$found $$package.$$target"; \
		done; \
	done; \
	if [ -n "$$found" ]; then echo "found:$$found"; exit 1; fi

## docs-viewer: fetch the viewer of /api/docs again, from npm
VIEWER_VERSION ?= 5.35.0
docs-viewer:
	httpapi/web/docs/fetch.sh $(VIEWER_VERSION)

clean:
	rm -rf bin
