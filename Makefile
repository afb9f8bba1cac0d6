# Copyright 2026 The Rehive Extension Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# `make help` lists the targets. `make demo` and `make test` need Go, git, make and a Go
# module proxy. They download or build everything else.

SHELL := /usr/bin/env bash -o pipefail
.SHELLFLAGS := -ec
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X main.version=$(VERSION)

# The race detector needs cgo and a C compiler. Without one the tests still run.
RACE := $(shell [ "$$(go env CGO_ENABLED)" = 1 ] && command -v "$$(go env CC | cut -d' ' -f1)" >/dev/null 2>&1 && echo -race)
# The race detector doesn't watch what SQLite does, which is C compiled to Go, nor the packages
# for JSON and YAML, which took most of its time: it misses a value that one goroutine changes
# while another encodes it. Their atomic operations stay calls, which it must see to know what
# is synchronized.
UNWATCHED := -race=false -d=checkptr=0,ssa/intrinsics/off
RACEFLAGS := $(if $(RACE),-race '-gcflags=modernc.org/...=-race=false -d=checkptr=0' \
	$(foreach package,encoding/json sigs.k8s.io/json/... go.yaml.in/yaml/...,'-gcflags=$(package)=$(UNWATCHED)'))

CONTROLLER_GEN := go tool controller-gen
# golangci-lint with the linter of Kubernetes API types built in.
GOLANGCI_LINT := go tool -modfile=hack/tools/go.mod golangci-lint-kube-api-linter

CHART := charts/rehive-extension-operator

# The directory of etcd and kube-apiserver: $KUBEBUILDER_ASSETS, the user's cache, a
# download or a build from their Go modules, whichever works first.
ASSETS = $$(cd hack/controlplane && go run . assets)

##@ Use

.PHONY: help
help: ## List the targets.
	@awk 'BEGIN {FS = ":.*##"; printf "Usage: make \033[36m<target>\033[0m\n"} \
		/^[a-zA-Z_-]+:.*?##/ { printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2 } \
		/^##@/ { printf "\n%s\n", substr($$0, 5) }' $(MAKEFILE_LIST)

.PHONY: demo
demo: build ## Run the operator against a simulated Rehive platform; EXIT=1 exits after the last step.
	@assets="$(ASSETS)" && go build -trimpath -o bin/demo ./hack/demo && \
	exec env KUBEBUILDER_ASSETS="$$assets" bin/demo --manager bin/manager $(if $(EXIT),--exit)

.PHONY: build
build: ## Build the manager, the kubectl plugin and the platform simulator into bin/.
	go build -trimpath -ldflags "$(LDFLAGS)" -o bin/ ./cmd/...

.PHONY: build-installer
build-installer: ## Write dist/install.yaml for kubectl apply -f; IMG=<image>, OVERLAY=<directory>.
	go run ./hack/installer $(if $(IMG),--image=$(IMG)) $(if $(OVERLAY),--overlay=$(OVERLAY))

.PHONY: image
image: ## Build the image for linux/amd64 and linux/arm64 into dist/image, without Docker; PUSH=<repository> pushes it.
	cd hack/image && go run . --version="$(VERSION)" $(if $(PUSH),--push="$(PUSH)")

.PHONY: plugin
plugin: ## Build the archives of the kubectl plugin for all platforms, with their checksums and a Krew manifest, into dist/plugin.
	SOURCE_DATE_EPOCH=$${SOURCE_DATE_EPOCH:-$$(git log -1 --format=%ct)} go run ./hack/plugin --version="$(VERSION)"

##@ Develop

.PHONY: layouts
layouts: ## Build the layouts of config/presets from MJML; needs npm and a network.
	cd hack/layouts && npm ci --ignore-scripts --no-audit --no-fund && node build.mjs

.PHONY: generate
generate: ## Generate deep copies, CRDs, RBAC, the chart's copies of them, and the pages of fields, events and flags.
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt paths=./api/...
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:dir=config/crd/bases
	go run ./hack/unfold config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=manager-role paths="{./controllers/...,./webhookserver/...,./internal/clusterapi/...,./cmd/...}" output:rbac:dir=config/rbac/namespaced
	cp config/crd/bases/*.yaml $(CHART)/files/crds/
	cp config/rbac/namespaced/role.yaml $(CHART)/files/manager_role.yaml
	cp config/components/prometheus/rules.yaml $(CHART)/files/alerts.yaml
	cp config/components/grafana-dashboard/rehive-extension.json $(CHART)/files/dashboard.json
	go tool -modfile=hack/tools/go.mod crd-ref-docs --source-path=api --config=hack/apidocs.yaml --renderer=markdown --output-path=docs/api.md
	go run ./hack/eventdocs
	go run ./hack/flagdocs

.PHONY: fmt
fmt: ## Format the code.
	$(GOLANGCI_LINT) fmt

##@ Check

.PHONY: test
test: check-generate vet lint test-unit test-install test-tools ## Run every check and test.

.PHONY: check-generate
check-generate: ## Fail if a generated file is stale.
	@hack/check-generate.sh

.PHONY: vet
vet: ## Run go vet.
	go vet ./...
	cd hack/controlplane && go vet ./...
	cd test/install && go vet ./...
	cd hack/image && go vet ./...

.PHONY: lint
lint: ## Run golangci-lint and actionlint, and check the English (hack/prose).
	$(GOLANGCI_LINT) run --allow-parallel-runners
	go tool -modfile=hack/tools/actionlint.mod actionlint
	go run ./hack/prose

# The packages with the longest tests come first, so that none of them runs alone at the
# end. More packages than there are processors run at a time, because tests wait, too, and
# because they get a larger part of a busy machine then.
TEST_PACKAGES = ./webhookserver ./test/e2e ./controllers ./internal/ledger/... ./...
TEST_PROCESSES = $(shell expr $$(getconf _NPROCESSORS_ONLN) + 3)

.PHONY: test-unit
test-unit: ## Run the tests of the operator, including those against a real API server.
	@if [ -z "$(RACE)" ]; then echo "no C compiler found: testing without the race detector"; fi
	@# "make vet" does what go test would do again. At the end of a program the race detector
	@# would wait a second for races to come.
	assets="$(ASSETS)" && KUBEBUILDER_ASSETS="$$assets" GORACE="atexit_sleep_ms=50 $$GORACE" \
		go test -p $(TEST_PROCESSES) -timeout=20m -vet=off $(RACEFLAGS) $(TESTFLAGS) $(TEST_PACKAGES)

.PHONY: test-install
test-install: ## Test the kustomizations, the Helm chart, the image, dashboards and alerts.
	@command -v promtool >/dev/null || echo "no promtool found (Debian: apt-get install prometheus): the alerts are not tested"
	assets="$(ASSETS)" && cd test/install && KUBEBUILDER_ASSETS="$$assets" go test -timeout=20m ./...

.PHONY: test-tools
test-tools: ## Run the tests of the control plane builder.
	cd hack/controlplane && go test ./...

.PHONY: test-image
test-image: ## Build the image twice, compare the digests, read its layers and run its binary.
	cd hack/image && IMAGE=all go test -count=1 -timeout=30m ./...

.PHONY: test-plugin
test-plugin: ## Build the archives of the kubectl plugin twice for all platforms, compare them, and install one as Krew does.
	assets="$(ASSETS)" && cd test/install && KUBEBUILDER_ASSETS="$$assets" PLUGIN=all go test -count=1 -timeout=30m -run TestPluginRelease ./...

.PHONY: vulnerabilities
vulnerabilities: ## Look for known vulnerabilities in the code that the operator calls; needs a network.
	go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

.PHONY: bench
bench: build ## Run the benchmarks; BENCHFLAGS=-short, -run=message, -profile ...
	@assets="$(ASSETS)" && go build -trimpath -o bin/bench ./hack/bench && \
	exec env KUBEBUILDER_ASSETS="$$assets" bin/bench --manager bin/manager $(BENCHFLAGS)

.PHONY: chaos
chaos: ## Run the fault injection tests for about twenty minutes, longer than in make test.
	assets="$(ASSETS)" && CHAOS=1 KUBEBUILDER_ASSETS="$$assets" go test $(RACEFLAGS) -count=1 -timeout=30m -v $(TESTFLAGS) \
		./test/e2e ./internal/ledger/... | grep -v '^ *=== '

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (default 30s) each.
	@assets="$(ASSETS)" && KUBEBUILDER_ASSETS="$$assets" hack/fuzz.sh $(FUZZTIME)

.PHONY: test-client
test-client: ## Call the API with the published npm package; needs npm, Node.js 20 or later and a network.
	assets="$(ASSETS)" && REHIVE_NPM=1 KUBEBUILDER_ASSETS="$$assets" go test -count=1 -run TestManager/PublishedClient -v ./test/e2e

##@ Clean

.PHONY: clean
clean: ## Remove build results and the demo's files.
	rm -rf bin .run
