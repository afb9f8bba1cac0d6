#!/usr/bin/env bash
# Copyright 2026 The Rehive Extension Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Fails if a generated file is not what `make generate` would write now. It
# compares with the working tree, not with the last commit, so that it can be
# used before committing.
set -euo pipefail
cd "$(dirname "$0")/.."

generated=(api/v1alpha1/zz_generated.deepcopy.go charts/rehive-extension-operator/files config/crd/bases config/rbac/namespaced/role.yaml docs/api.md docs/events.md docs/manager.md)

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
cp -R --parents "${generated[@]}" "$before"

make --no-print-directory generate >/dev/null

stale=0
for path in "${generated[@]}"; do
	diff -ru "$before/$path" "$path" || stale=1
done
if [ "$stale" = 1 ]; then
	echo "generated files were stale; they are fresh now: look at them and commit them" >&2
	exit 1
fi
