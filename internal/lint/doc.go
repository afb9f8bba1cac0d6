// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lint finds what is valid in a rule, but probably not what its author meant: a
// field that the event doesn't have, a status that is never written so, a number in
// quotes, HTML that email clients don't support. Its findings are warnings; a rule works in spite of them.
package lint
