#!/usr/bin/env bash
# Copyright 2026 The Rehive Extension Operator Authors.
# SPDX-License-Identifier: Apache-2.0

# Prints the changelog's section of a version; fails if there is none.
#   hack/release-notes.sh v0.1.0
set -euo pipefail
version=${1:?usage: release-notes.sh VERSION}
changelog=$(dirname "$0")/../CHANGELOG.md
notes=$(awk -v version="${version#v}" '
	/^## / { heading = $2; gsub(/[][v]/, "", heading); inside = (heading == version || $2 == version); next }
	inside' "$changelog")
if [ -z "${notes//[[:space:]]/}" ]; then
	echo "release-notes: CHANGELOG.md has no section for $version" >&2
	exit 1
fi
printf '%s\n' "$notes"
