// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"cmp"
	"time"

	"github.com/rehive/extension-operator/internal/rehive"
)

// Limits bound what a caller can cost the server. A zero field means its
// default; every default is here, with the reason for it.
type Limits struct {
	// LifecycleBody is the largest body of /activate/, /deactivate/ and /rotate/ in
	// bytes. They carry a token of 64 characters, and anyone can send one.
	LifecycleBody int64
	// WebhookBody is the largest body of a webhook in bytes. An extended
	// transaction has a few kilobytes; metadata can make it more.
	WebhookBody int64
	// APIBody is the largest body of a call of the admin or the user API in bytes.
	// They carry an address at most.
	APIBody int64
	// ResourceBody is the largest body of a call that writes a notification or a layout,
	// in bytes: two texts of 256 KiB, and what JSON adds to them.
	ResourceBody int64
	// HeaderBytes is the largest request header in bytes.
	HeaderBytes int
	// JSONDepth is how deep arrays and objects may be nested.
	JSONDepth int

	// BodyBytes is how many bytes of webhooks' bodies are in memory at once, not
	// counting small ones; one company has half of it at most. More wait for QueueTime.
	BodyBytes int64

	// Connections is how many connections are open at once. Beyond it, those that
	// wait for their clients make room, strangers' first; see connections.
	Connections int
	// LifecycleCalls is how many activations, deactivations and rotations are
	// worked on at once, each of which makes platform and Kubernetes calls.
	LifecycleCalls int

	// APICalls is how many calls of the admin and the user API are worked on at once;
	// more are refused, so that they leave connections to webhooks.
	APICalls int

	// StrangerRate is how many tokens a second the platform is asked about on behalf of
	// callers that nobody has vouched for. Anyone can call, and the platform takes 300
	// requests in 10 seconds from one address, ours, which tenants need.
	StrangerRate float64

	// KnownRate is the same for tokens that were good within the last hour, and for
	// callers from where a good credential came within it.
	KnownRate float64

	// ReadHeaderTimeout is the time for a request's header to arrive.
	ReadHeaderTimeout time.Duration
	// ReadTimeout is the time for a whole request to arrive.
	ReadTimeout time.Duration
	// WriteTimeout is the time from the end of a request's header to the last
	// byte of its answer. It must exceed the budgets and ReadTimeout.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request.
	IdleTimeout time.Duration
	// ShutdownTimeout is how long requests in flight may take to finish once
	// the server is told to stop.
	ShutdownTimeout time.Duration

	// LifecycleBudget is the time for a lifecycle call from its header to its
	// answer. The platform waits 10 seconds.
	LifecycleBudget time.Duration
	// RollbackReserve is the part of LifecycleBudget that is kept for undoing
	// an activation that the platform refused.
	RollbackReserve time.Duration
	// PlatformCall is the time for one call to the platform. Two that hang must
	// fit into LifecycleBudget.
	PlatformCall time.Duration
	// WebhookBudget is the time for a webhook from its header to its answer.
	// The platform waits 5 seconds.
	WebhookBudget time.Duration
	// APIBudget is the time for a call of the admin or the user API from its header
	// to its answer. A search of the log is stopped when it ends.
	APIBudget time.Duration
	// QueueTime is how long a call waits for its turn under BodyBytes, LifecycleCalls,
	// StrangerRate and KnownRate.
	QueueTime time.Duration
}

// Lengths of text fields, in characters.
const (
	maxTokenLength   = 1024 // Rehive's have 64
	maxCompanyLength = 100  // as CompanyActivation's spec.company
	maxEventLength   = 100  // as NotificationRule's spec.event
	maxIDLength      = 255
	maxMessageLength = 500 // of what a condition says, when an answer repeats it
)

const (
	// knownBurst is how many calls may come at once before Limits.KnownRate holds them
	// up; that of strangers is rehive.StrangerBurst.
	knownBurst = 30
	// Callers that make this many calls in a minute, or a tenth as many that are
	// refused, leave most of the burst to others; see flow.Gate.
	strangersDemand, knownDemand = 100, 1000
	// strangersAtOnce is how many calls to the platform are under way for strangers.
	strangersAtOnce = 16
	// maxQueue is how many calls wait for their turn at the platform, of strangers and of
	// others each.
	maxQueue = 256

	// smallBody is the size up to which a body is not counted: all connections together
	// hold 16 MiB of such.
	smallBody = 16 << 10
	// A large body, or a stranger's, must arrive within bodyTime and what it takes at
	// bodyRate bytes a second.
	bodyTime = 2 * time.Second
	bodyRate = 512 << 10
	// drainTime is how long the rest of a body is read that nobody wants, so that a
	// client reads the answer before the connection ends.
	drainTime = 250 * time.Millisecond

	// refusalLogRate is how many refusals of lifecycle calls a second are logged, after
	// refusalLogBurst at once.
	refusalLogRate, refusalLogBurst = 10, 100
)

// withDefaults fills in what is zero.
func (l Limits) withDefaults() Limits {
	l.LifecycleBody = cmp.Or(l.LifecycleBody, 16<<10)
	l.WebhookBody = cmp.Or(l.WebhookBody, 1<<20)
	l.APIBody = cmp.Or(l.APIBody, 64<<10)
	l.ResourceBody = cmp.Or(l.ResourceBody, 2<<20)
	l.HeaderBytes = cmp.Or(l.HeaderBytes, 16<<10)
	l.JSONDepth = cmp.Or(l.JSONDepth, 128)
	l.Connections = cmp.Or(l.Connections, 1024)
	l.LifecycleCalls = cmp.Or(l.LifecycleCalls, 64)
	l.APICalls = cmp.Or(l.APICalls, 256)
	l.BodyBytes = cmp.Or(l.BodyBytes, 64<<20)
	l.StrangerRate = cmp.Or(l.StrangerRate, rehive.StrangerRate)
	l.KnownRate = cmp.Or(l.KnownRate, 20)
	l.ReadHeaderTimeout = cmp.Or(l.ReadHeaderTimeout, 3*time.Second)
	l.ReadTimeout = cmp.Or(l.ReadTimeout, 4*time.Second)
	l.WriteTimeout = cmp.Or(l.WriteTimeout, 15*time.Second)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 75*time.Second)
	l.ShutdownTimeout = cmp.Or(l.ShutdownTimeout, 12*time.Second)
	l.LifecycleBudget = cmp.Or(l.LifecycleBudget, 9*time.Second)
	l.RollbackReserve = cmp.Or(l.RollbackReserve, time.Second)
	l.PlatformCall = cmp.Or(l.PlatformCall, 4*time.Second)
	l.WebhookBudget = cmp.Or(l.WebhookBudget, 4*time.Second)
	l.APIBudget = cmp.Or(l.APIBudget, 8*time.Second)
	l.QueueTime = cmp.Or(l.QueueTime, time.Second)
	return l
}
