// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package admission is the validating webhook that the Kubernetes API server calls before
// it stores a rule, a layout or a template. Objects that can't work are refused with the
// field, the line and the column; probable mistakes are warnings. [Keeper] maintains the
// certificate that the webhook is served with, and the configuration by which the API
// server finds and trusts it.
//
// The webhook is a convenience: the configuration ignores its failure, because the
// reconcilers report the same in the objects' conditions.
package admission
