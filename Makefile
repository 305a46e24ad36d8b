# What people and CI run. "make help" lists it.

GO      ?= $(or $(shell command -v go),.ci/go)
BIN     := $(CURDIR)/bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# A series of real operating system images; see ../shared/corpus/README.md.
CORPUS  ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/strata/corpus
# Series of real images, some of them with many versions, for bench-bytes, and the package history beside make-corpus.
IMAGES  ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/strata/series
HISTORY ?= $(wildcard ../shared/corpus)
# A podman and a skopeo that check signatures; .ci/clients puts them here.
CLIENTS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/strata/clients
PODMAN  ?= $(CLIENTS)/podman
SKOPEO  ?= $(CLIENTS)/skopeo
# What bootc's import on composefs is made of; .ci/cfsctl puts it here.
CFSCTL  ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/strata/cfsctl
# ostree-ext, by which rpm-ostree makes images of commits; .ci/ostree-ext/build puts it here.
OSTREE_EXT ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/strata/ostree-ext
# Versions that test-clients imports.
IMPORTS ?= 2000
FUZZTIME ?= 2s
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

export CFSCTL CLIENTS CORPUS FUZZTIME IMAGES OSTREE_EXT

.DEFAULT_GOAL := build
.PHONY: build release run test test-hostile test-release test-hour test-clients corpus series fuzz lint bench bench-bytes clean help

build: ## Build a static bin/strata
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN)/strata ./cmd/proxy

release: ## Make what is published, in bin/release: programs, deb, rpm, container image, bills of materials, checksums
	@VERSION=$(VERSION) .ci/release/make

test-release: ## Install, run and check all that "make release" makes, and what docs/deploy has; their tools go into bin/tools
	@.ci/release/test

test-hour: ## A newcomer's hour from a fresh clone: make and install the deb, serve, pull, update, roll out to 100 hosts, hold, roll back
	@.ci/hour

run: build ## Start the proxy on the defaults; ARGS go to it
	$(BIN)/strata serve $(ARGS)

test: ## Set up what tests need and run everything, with a real image series and real clients
	@.ci/test

test-hostile: ## Attack the running program at its own limits, and kill it; "make test" does so in a short form
	CGO_ENABLED=0 $(GO) test -count=1 -timeout 60m ./proxy/hostile
	STRATA_TEST_KILLS=96 CGO_ENABLED=0 $(GO) test -count=1 -timeout 60m ./proxy/e2e -run TestEdgeKilled

test-clients: $(BIN)/clients/cosign $(BIN)/clients/2/cosign ## Try clients that check signatures (.ci/clients sets them up; SKOPEO=, PODMAN= other ones), cosign 2 and 3 among them, and import 2,000 versions as bootc does on ostree and on composefs, as many of them made by ostree-ext
	@.ci/clients
	STRATA_TEST_CLIENTS=$(BIN)/clients STRATA_TEST_SKOPEO=$(SKOPEO) STRATA_TEST_PODMAN=$(PODMAN) CGO_ENABLED=0 \
	  $(GO) test -count=1 -timeout 60m ./proxy/e2e -run 'Signatures|Cosign|AirGap|Signed|ClientConfig|Podman(Enf|Pol)|Tamper|Secret'
	@.ci/cfsctl
	@.ci/ostree-ext/build
	STRATA_TEST_CFSCTL=$(CFSCTL)/bin/cfsctl STRATA_TEST_OSTREE_EXT=$(OSTREE_EXT)/bin/strata-ostree-ext \
	  STRATA_TEST_IMPORTS=$(IMPORTS) CGO_ENABLED=0 \
	  $(GO) test -count=1 -timeout 240m ./rechunk -run 'OstreeImport|ComposefsImport|OstreeExt'

$(BIN)/clients/cosign:
	GOBIN=$(@D) CGO_ENABLED=0 $(GO) install github.com/sigstore/cosign/v3/cmd/cosign@v3.0.2

$(BIN)/clients/2/cosign:
	GOBIN=$(@D) CGO_ENABLED=0 $(GO) install github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5

corpus: ## Build the series of real images that tests pull; needs root, five minutes and a Debian mirror
	@.ci/corpus

series: ## Build the series of real images for bench-bytes; needs root, more than an hour and a Debian mirror; PROFILES="mini server desktop"
	@.ci/series $(PROFILES)

fuzz: ## Run every fuzz target for FUZZTIME
	@.ci/fuzz

lint: ## Check format and code
	@unformatted=$$(gofmt -l $$(git ls-files '*.go' 2>/dev/null || find . -name '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted, run gofmt -w:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) run $(STATICCHECK) ./...

bench: ## Run the benchmarks; with BENCH_CORPUS=DIR, an OCI layout, also those beside the peers (bench/README.md)
	$(GO) test -run '^$$' -bench . -benchmem ./...
	@if [ -n "$(BENCH_CORPUS)" ]; then $(GO) run ./bench/perf -corpus "$(BENCH_CORPUS)"; \
	else echo "BENCH_CORPUS is not set: what needs a real image was not measured"; fi

bench-bytes: ## Measure what clients download beside the peers (docs/bytes.md), on what is there of series and history; ARGS go to it
	$(GO) run ./bench/bytes -images "$(IMAGES)" $(if $(HISTORY),-history "$(HISTORY)") $(ARGS)

clean: ## Remove what was built; the corpus stays
	rm -rf $(BIN)

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
