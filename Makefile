# What a person types. Each target says what it is for: make help.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMON  := github.com/prometheus/common/version
LDFLAGS := -s -w -X $(COMMON).Version=0.1.0 -X $(COMMON).Revision=$(VERSION) -X $(COMMON).Branch=main
TOOLS   := bin/tools
FUZZ    ?= 10s
BENCH   ?= .
E2E     ?= .

.DEFAULT_GOAL := help
.PHONY: help run build test race e2e e2e-thanos bench bench-agents bench-ingest bench-day bench-alerting bench-scaler fuzz lint proto generate check vuln clean $(TOOLS)

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: build ## build the product and start all of it on this machine
	./bin/plimsoll up

build: ## build bin/plimsoll
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/plimsoll ./cmd/plimsoll

# A package may take longer than the ten minutes that go test gives where others keep the machine busy.
test: ## all tests of the code; those that need an engine start their own
	$(GO) test -timeout 30m ./...

# Not the tests of rules, hours of series through PromQL in one goroutine, which take ten minutes so; nor those of two collectors
# in one process, for each Alertmanager's API expands the schema that all share (go-openapi) as it starts.
race: ## the same under the race detector
	$(GO) test -race -timeout 30m $$($(GO) list ./... | grep -vE '/(alerting/rules|test/pair)$$')

e2e: build ## the product as users run it, on a real engine, and in a virtual machine (root, dockerd, qemu needed)
	$(GO) test -tags e2e -count 1 -timeout 90m -p 1 -v -run '$(E2E)' $$(grep -rl '^//go:build e2e' test | xargs -n 1 dirname | sort -u | sed 's,^,./,')

# Not in CI: it takes six minutes, and the first time builds Thanos: three more of CPU, and 140 MB.
e2e-thanos: build ## collectors with the real Thanos: buckets, sidecars, queries from above, a collector killed
	$(GO) test -tags thanos -count 1 -timeout 60m -v ./test/thanos

bench: ## benchmarks; bench/RESULTS.md holds dated results
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./bench/...

bench-agents: ## the agent beside cAdvisor, netdata, Telegraf, node_exporter (an hour or more; AGENTS= for flags)
	cd bench/agent && $(GO) test -run '^$$' -bench . -benchtime 1x -timeout 4h -args $(AGENTS)

bench-ingest: ## the collector beside a bare TSDB and Prometheus, and with a million series (half an hour; INGEST= for flags)
	cd bench/ingest && $(GO) test -run '^$$' -bench . -benchtime 1x -timeout 4h -v -args $(INGEST)

bench-day: ## 24 hours of 100 agents with 100 containers that come and go (minutes; DAY= for flags)
	$(GO) test -count 1 -timeout 1h -v -run DayOfChurn ./bench/day -args -hours 24 -agents 100 -containers 100 -series 3 $(DAY)

bench-alerting: ## from a crossing to the message, beside Debian's prometheus and prometheus-alertmanager; storms; cost (15 minutes; ALERTING= for flags)
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 1h -v ./bench/alerting -args -measure $(ALERTING)

bench-scaler: ## the scaler beside the real HPA and models of two rules, in virtual time (minutes; SCALER= for flags)
	cd bench/scaler && $(GO) test -count 1 -timeout 1h -v . -args $(SCALER)

fuzz: ## every fuzz test for FUZZ each (default 10s)
	@for p in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	    echo "fuzz $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZ) $$p || exit 1; \
	  done; done

$(TOOLS): ## build the pinned tools of internal/tools/go.mod
	@cd internal/tools && $(GO) build -o ../../$(TOOLS)/ tool

proto: $(TOOLS) ## generate Go from proto/
	PATH="$(CURDIR)/$(TOOLS):$$PATH" buf generate

generate: proto ## write every generated file anew
	$(GO) test ./agent ./internal/conf ./scaler/explain -update
	$(GO) test ./cmd/plimsoll -run TestTheCatalogueOfMetricsIsTrue -update
	$(GO) test ./alerting/rules -run TestTheListOfRulesIsTrue -update

lint: $(TOOLS) ## format, vet, golangci-lint, buf
	@unformatted="$$($(TOOLS)/gofumpt -l $$(git ls-files '*.go' ':!*.pb.go'))"; \
	 if [ -n "$$unformatted" ]; then echo "not formatted, run gofumpt -w on:"; echo "$$unformatted"; exit 1; fi
	$(TOOLS)/golangci-lint run ./...
	$(TOOLS)/buf lint

check: lint ## all a reviewer needs besides the tests: lint, wire compatibility, generated code
	@if git rev-parse -q --verify HEAD~1 >/dev/null && git cat-file -e HEAD~1:buf.yaml 2>/dev/null; then \
	  $(TOOLS)/buf breaking --against '.git#ref=HEAD~1'; fi
	@before="$$(cat proto/plimsoll/v1/*.pb.go | sha256sum)"; $(MAKE) --no-print-directory proto; \
	 after="$$(cat proto/plimsoll/v1/*.pb.go | sha256sum)"; \
	 if [ "$$before" != "$$after" ]; then echo "proto/: generated code differs from its source, commit what make proto wrote"; exit 1; fi
	$(GO) mod verify
	$(GO) mod tidy -diff

vuln: $(TOOLS) ## known vulnerabilities that the code reaches; VULNDB=file:///… where the public database is out of reach
	$(TOOLS)/govulncheck $(if $(VULNDB),-db $(VULNDB)) ./...

clean: ## remove what was built
	rm -rf bin
