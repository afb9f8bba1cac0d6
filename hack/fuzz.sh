#!/usr/bin/env bash
# Copyright 2026 The Rehive Extension Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Runs every fuzz target of the module, one after the other, and then hostile requests
# against the API, which need an API server: KUBEBUILDER_ASSETS.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}

grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . >/dev/null || { echo "no fuzz targets"; exit 0; }
while IFS=: read -r file func; do
	target=${func#func }
	echo "== $target ($(dirname "$file"))"
	# Go's own minute for making a finding small stops the search meanwhile, and a
	# run that ends within it fails without a finding.
	go test -run '^$' -fuzz "^${target}\$" -fuzztime "$time" -fuzzminimizetime 5x "./$(dirname "$file")"
done < <(grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' internal webhookserver | sort)
echo "== TestHostileRequests (webhookserver)"
go test -count=1 -timeout 0 -run '^TestHostileRequests$' ./webhookserver -fuzz-api "$time"
