# make run and make test are all that a fresh machine with Go and make needs.

BIN     := bin/exchange
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: run build test lint bench fuzz docs-viewer clean

## run: build the service and serve on 127.0.0.1:8080 in demo mode, data in ./data
run: build
	$(BIN) serve --listen 127.0.0.1:8080 --data ./data --demo

## build: build bin/exchange
build:
	go build -trimpath -ldflags '-X main.buildVersion=$(VERSION)' -o $(BIN) ./cmd/exchange

## test: run every test with the race detector, then those that count allocations without it
test:
	go test -race -timeout 14m ./...
	go test -run Allocat ./...

## lint: gofmt, go vet and staticcheck, and a tidy go.mod
lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...
	go mod tidy -diff

## bench: measure against an empty HTTP handler in the same run
bench:
	go run ./bench

## fuzz: fuzz every decoder, FUZZTIME each
FUZZTIME ?= 5m
fuzz:
	@set -e; for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

## docs-viewer: fetch the viewer of /api/docs again, from npm
VIEWER_VERSION ?= 5.35.0
docs-viewer:
	httpapi/web/docs/fetch.sh $(VIEWER_VERSION)

clean:
	rm -rf bin
