// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"cmp"
	"runtime"
	"time"

	"github.com/rehive/extension-operator/internal/rehive"
)

// Limits bound what a caller can cost the server. A zero field means the default.
type Limits struct {
	// LifecycleBody is the largest body of /activate/, /deactivate/ and /rotate/ in bytes.
	// They carry a token of 64 characters, and anyone can call them.
	LifecycleBody int64
	// WebhookBody is the largest body of a webhook in bytes. An extended
	// transaction has a few kilobytes; metadata can make it more.
	WebhookBody int64
	// APIBody is the largest body of a call to the admin or user API in bytes. They carry
	// an address at most.
	APIBody int64
	// ResourceBody is the largest body of a call that writes a notification or a layout,
	// in bytes: two texts of 256 KiB, and what JSON adds to them.
	ResourceBody int64
	// HeaderBytes is the largest request header in bytes.
	HeaderBytes int
	// JSONDepth is how deeply arrays and objects may be nested.
	JSONDepth int

	// BodyBytes is how many bytes of webhook bodies are in memory at once, not counting
	// small ones. One company can use half of it at most. Further webhooks wait for up to
	// QueueTime.
	BodyBytes int64

	// Connections is how many connections are open at once. Beyond it, connections that are
	// waiting for their clients or their turn are closed; see connections.
	Connections int
	// Webhooks is how many webhooks are stored at once. One company can use half of it at
	// most, and its further webhooks wait for up to QueueTime. Together with LifecycleCalls
	// and APICalls it is less than Connections, so that there is always a connection that
	// can make room for another.
	Webhooks int
	// LifecycleCalls is how many activations, deactivations and rotations are in progress
	// at once. Each makes calls to the platform and to Kubernetes.
	LifecycleCalls int

	// APICalls is how many calls to the admin and user API are in progress at once. One
	// company can have as many as stay free for others. Further calls are refused, so that
	// connections remain for webhooks.
	APICalls int

	// APIWork is how much work calls to the admin and user API may do at once, in the units of
	// rest.Work. One company can do half of it, and its further calls wait for up to
	// QueueTime.
	APIWork int
	// APIBodyBytes is how many bytes of bodies of such calls are in memory at once, and
	// APIAnswerBytes how many of their answers, not counting small ones. One company can use
	// as much of each as stays free for others. Further calls wait for up to QueueTime with
	// their bodies; their answers are replaced by refusals.
	APIBodyBytes, APIAnswerBytes int64

	// Streams is how many event streams are open at once, half of them for one company at
	// most. Their connections make room for others, which ends them.
	Streams int
	// StreamTime is how long an event stream lasts at most; then its client opens another
	// one, which verifies its token again.
	StreamTime time.Duration
	// StreamWrite is how long the client of an event stream may take to read what is sent.
	StreamWrite time.Duration

	// StrangerRate is how many tokens per second are verified with the platform for unknown
	// callers. Anyone can call, and the platform accepts 300 requests in 10 seconds from
	// our address, which companies need.
	StrangerRate float64

	// KnownRate is the same for tokens that were valid within the last hour, and for
	// callers from networks that a valid credential came from within the last hour.
	KnownRate float64

	// FreeAnswers is how many requests a second are answered at once although they are
	// refused, or are for pages that anybody may read. Beyond it, such answers are delayed;
	// see holdBack. It is about 5 % of one processor.
	FreeAnswers float64

	// Handshakes is how many TLS handshakes per second known callers may make; strangers may
	// make a fifth of that. The default depends on the certificate's key, and takes about a
	// third of the processors.
	Handshakes float64

	// ReadHeaderTimeout is the maximum time for a request's header to arrive, and for a TLS
	// handshake.
	ReadHeaderTimeout time.Duration
	// ReadTimeout is the maximum time for a whole request to arrive.
	ReadTimeout time.Duration
	// WriteTimeout is the time from the end of a request's header to the last
	// byte of its answer. It must exceed the budgets and ReadTimeout.
	WriteTimeout time.Duration
	// IdleTimeout is how long a connection may wait for its next request.
	IdleTimeout time.Duration
	// ShutdownTimeout is how long requests in flight may take to finish once the server
	// shuts down.
	ShutdownTimeout time.Duration

	// LifecycleBudget is the time for a lifecycle call from its header to its
	// answer. The platform waits 10 seconds.
	LifecycleBudget time.Duration
	// RollbackReserve is the part of LifecycleBudget that is kept for undoing
	// an activation that the platform refused.
	RollbackReserve time.Duration
	// PlatformCall is the time for one call to the platform. Two calls that time out must
	// fit into LifecycleBudget.
	PlatformCall time.Duration
	// WebhookBudget is the time for a webhook from its header to its answer.
	// The platform waits 5 seconds.
	WebhookBudget time.Duration
	// APIBudget is the time for a call to the admin or user API from its header to its
	// answer. A search of the log is cancelled when it ends.
	APIBudget time.Duration
	// QueueTime is how long a call may wait for BodyBytes, Webhooks and LifecycleCalls.
	QueueTime time.Duration
	// TurnTime is how long a call may wait for StrangerRate and KnownRate. The platform may
	// make many calls at once when it rotates tokens.
	TurnTime time.Duration
}

// Lengths of text fields, in characters.
const (
	maxTokenLength   = 1024 // Rehive's have 64
	maxCompanyLength = 100  // as CompanyActivation's spec.company
	maxEventLength   = 100  // as NotificationRule's spec.event
	maxIDLength      = 255
	maxMessageLength = 500 // of a condition's message in an answer
)

const (
	// knownBurst is how many calls may come at once before Limits.KnownRate delays them;
	// for strangers it is rehive.StrangerBurst.
	knownBurst = 30
	// Callers that make this many calls in a minute, or a tenth as many that are
	// refused, leave most of the burst to others; see flow.Gate.
	strangersDemand, knownDemand = 100, 1000
	// strangersAtOnce is how many calls to the platform may be in flight for strangers.
	strangersAtOnce = 16
	// smallBody is the size up to which a body is not counted: all connections together
	// hold at most 16 MiB of small bodies.
	smallBody = 16 << 10
	// smallAnswer is the size up to which an answer is not counted.
	smallAnswer = 64 << 10
	// workPerProcessor is how much of the API's work each processor does at once, in the
	// units of rest.Work: one call of heavy work. Because a Budget keeps a part for small
	// requests, one processor does none.
	workPerProcessor = 8
	// A large body, or one of a stranger, must arrive within bodyTime plus its size at
	// bodyRate bytes per second.
	bodyTime = 2 * time.Second
	bodyRate = 512 << 10
	// longestHold is how long an answer is delayed under Limits.FreeAnswers.
	longestHold = time.Second
	// drainTime is how long the rest of an unwanted body is read, so that the client reads
	// the answer before the connection ends.
	drainTime = 250 * time.Millisecond

	// refusalLogRate is how many refused lifecycle calls per second are logged, after a
	// burst of refusalLogBurst.
	refusalLogRate, refusalLogBurst = 10, 100
)

// apiWork is the default of Limits.APIWork.
func apiWork(processors int) int64 { return int64(workPerProcessor * max(processors, 2)) }

// withDefaults replaces zero fields with their defaults.
func (l Limits) withDefaults() Limits {
	l.LifecycleBody = cmp.Or(l.LifecycleBody, 16<<10)
	l.WebhookBody = cmp.Or(l.WebhookBody, 1<<20)
	l.APIBody = cmp.Or(l.APIBody, 64<<10)
	l.ResourceBody = cmp.Or(l.ResourceBody, 2<<20)
	l.HeaderBytes = cmp.Or(l.HeaderBytes, 16<<10)
	l.JSONDepth = cmp.Or(l.JSONDepth, 128)
	l.Connections = cmp.Or(l.Connections, 1024)
	l.Webhooks = cmp.Or(l.Webhooks, max(l.Connections/2, 2))
	l.LifecycleCalls = cmp.Or(l.LifecycleCalls, 64)
	l.APICalls = cmp.Or(l.APICalls, 256)
	l.APIWork = cmp.Or(l.APIWork, int(apiWork(runtime.GOMAXPROCS(0))))
	l.APIBodyBytes = cmp.Or(l.APIBodyBytes, 64<<20)
	l.APIAnswerBytes = cmp.Or(l.APIAnswerBytes, 64<<20)
	l.Streams = cmp.Or(l.Streams, max(l.Connections/2, 2))
	l.StreamTime = cmp.Or(l.StreamTime, 5*time.Minute)
	l.StreamWrite = cmp.Or(l.StreamWrite, 5*time.Second)
	l.BodyBytes = cmp.Or(l.BodyBytes, 64<<20)
	l.StrangerRate = cmp.Or(l.StrangerRate, rehive.StrangerRate)
	l.FreeAnswers = cmp.Or(l.FreeAnswers, 1000)
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
	l.TurnTime = cmp.Or(l.TurnTime, 3*time.Second)
	return l
}
