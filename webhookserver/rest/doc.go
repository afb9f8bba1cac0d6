// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rest is the engine of the extension's API. A resource is declared
// once, as a [Resource] with the fields of a [Serializer]; its routes, decoding
// with the coercions and messages of Django REST Framework, PUT and PATCH
// semantics, filters, ordering, pagination, envelopes and OpenAPI description are
// derived from that declaration.
//
// The package deals with HTTP and JSON only. The packages admin and user declare the
// resources, on top of rules, the ledger and Kubernetes.
package rest
