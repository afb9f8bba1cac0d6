// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"iter"
	"time"
)

// Store is a whole ledger. It is safe for concurrent use.
//
// Unless a method says otherwise, its errors wrap [ErrUnavailable] when trying again later
// is right, and methods that take a claimed row return [ErrLeaseLost] once the lease has
// ended.
type Store interface {
	Intake
	EventQueue
	DeliveryQueue
	Log
	History
	Inbox
	Preferences
	Suppressions
	FeedbackLog
	Keys
	Erasures
	Quotas
	Quarantine
	Companies
	Retention
	Monitor
	Activity

	// Healthy returns nil if the ledger can be read and written, or else one clear
	// sentence that wraps [ErrUnavailable].
	Healthy(ctx context.Context) error
	// Close commits the writes that were handed in, refuses later ones and closes the
	// database. It is safe to call more than once.
	Close() error
}

// Intake accepts the platform's events.
type Intake interface {
	// AcceptEvent stores an event, which is durable (fsynced) when the error is nil. An
	// event whose company and ID the ledger has already is left unchanged and reported as
	// a duplicate. Concurrent calls share a commit. Errors wrap [ErrUnavailable] (answer
	// 503, so that the platform calls again) or, if the company is at its limit,
	// [ErrCompanyFull], except for an event without a company or an ID. The Data must not
	// be changed afterwards, even after an error.
	AcceptEvent(ctx context.Context, e Event) (duplicate bool, err error)
}

// EventQueue is the queue of events to decide.
type EventQueue interface {
	// HandOver passes new events on as they are stored; nil ends it.
	HandOver(h *Handover)
	// EventsReady is receivable when events were added since it was last received from.
	// It is for one receiver, which then claims until there is nothing left.
	EventsReady() <-chan struct{}
	// NextEventDue returns how long it is until the next pending event is due, negative
	// if it is overdue; false if none is pending. A claimed event is due when its lease
	// ends.
	NextEventDue(ctx context.Context) (time.Duration, bool, error)
	// DueEventLanes returns the lanes that have due events, in the order of their turns:
	// it begins after the lane that was claimed from last. It reads in small steps, and
	// ends after an error.
	DueEventLanes(ctx context.Context) iter.Seq2[Lane, error]
	// ClaimEvents claims due events, fairly between companies and within the bounds of
	// the claim: each company in turn, and of each the longest due first. See RenewEvent for
	// work that outlasts the lease.
	ClaimEvents(ctx context.Context, c Claim) ([]ClaimedEvent, error)
	// EventData returns the Data of a claimed event, or [ErrNotFound].
	EventData(ctx context.Context, e ClaimedEvent) ([]byte, error)
	// Collected returns what was collected in a claimed event that is a [Digest], or
	// [ErrNotFound].
	Collected(ctx context.Context, e ClaimedEvent) (Collected, error)
	// RenewEvent extends the lease from now on.
	RenewEvent(ctx context.Context, e *ClaimedEvent, lease time.Duration) error

	// AddDeliveries stores deliveries of an event that is not completely decided yet, as
	// CompleteEvent does and with the same limits, which apply to each call. The claim
	// continues.
	AddDeliveries(ctx context.Context, e *ClaimedEvent, deliveries []NewDelivery) error
	// CompleteEvent stores the deliveries and marks the event done. A delivery whose
	// event, rule, channel and recipient the ledger has already is left out, so an event
	// may be decided again. A large event takes several transactions, the last of which
	// marks it done, so that others get their turn in between; if the process dies before
	// that, the event is decided again and the rest is added. More than one event may
	// make is refused with [ErrEventTooLarge], and nothing is stored.
	CompleteEvent(ctx context.Context, e ClaimedEvent, deliveries []NewDelivery) error
	// RetryEvent returns the event to the queue, due after a wait, with one sentence of
	// why.
	RetryEvent(ctx context.Context, e ClaimedEvent, wait time.Duration, message string) error
	// FailEvent marks the event failed for good, with one sentence of why.
	FailEvent(ctx context.Context, e ClaimedEvent, message string) error
	// ReleaseEvent returns an untouched claim at once; it doesn't count as an attempt.
	ReleaseEvent(ctx context.Context, e ClaimedEvent) error
	// QuarantineEvent sets an event aside that can't be decided and would do harm if it
	// were tried again, with one CamelCase word and one sentence of why. It stays, and
	// the log has an entry for it, until it is released or its retention ends.
	QuarantineEvent(ctx context.Context, e ClaimedEvent, reason, message string) error
}

// DeliveryQueue is the queue of deliveries to send.
type DeliveryQueue interface {
	// DeliveriesReady is receivable when deliveries were added since it was last received
	// from. It is for one receiver, which then claims until there is nothing left.
	DeliveriesReady() <-chan struct{}
	// NextDeliveryDue is [EventQueue.NextEventDue] for the deliveries of the lanes for
	// which open returns true; of all lanes if it is nil.
	NextDeliveryDue(ctx context.Context, open func(Lane) bool) (time.Duration, bool, error)
	// DueDeliveryLanes is [EventQueue.DueEventLanes] for deliveries.
	DueDeliveryLanes(ctx context.Context) iter.Seq2[Lane, error]
	// ClaimDeliveries claims due deliveries, fairly between companies and within the
	// bounds of their lanes: each lane in turn, and of each the longest due first. It
	// leaves out subjects, texts and HTML of more than 32 KiB, so that a claim of many
	// takes little memory: if a delivery isn't Complete, read it with GetDelivery when
	// there is room for it.
	ClaimDeliveries(ctx context.Context, c Claim) ([]ClaimedDelivery, error)
	// GetDelivery returns one delivery with all its content, or [ErrNotFound].
	GetDelivery(ctx context.Context, id int64) (Delivery, error)
	// RenewDelivery extends the lease from now on.
	RenewDelivery(ctx context.Context, d *ClaimedDelivery, lease time.Duration) error
	// LeaseLeft returns, without asking the database, how long the lease lasts. It
	// returns too little rather than too much: after the machine's clock was set forward
	// the lease lasts longer, and renewing finds out.
	LeaseLeft(l Lease) time.Duration

	// MarkSent records that the provider accepted the delivery, and the provider's
	// identifier of the message.
	MarkSent(ctx context.Context, d ClaimedDelivery, providerID string) error
	// MarkSentUnusually is MarkSent with what is unusual about how it was sent: one CamelCase
	// word and one sentence.
	MarkSentUnusually(ctx context.Context, d ClaimedDelivery, providerID, reason, message string) error
	// RetryDelivery returns the delivery to the queue, due after a wait, with why: one
	// CamelCase word and one sentence.
	RetryDelivery(ctx context.Context, d ClaimedDelivery, wait time.Duration, reason, message string) error
	// PostponeDelivery is RetryDelivery for a delivery that was not tried: it doesn't
	// count as an attempt.
	PostponeDelivery(ctx context.Context, d ClaimedDelivery, wait time.Duration, reason, message string) error
	// FailDelivery marks the delivery failed for good.
	FailDelivery(ctx context.Context, d ClaimedDelivery, reason, message string) error
	// SkipDelivery marks the delivery skipped: it was decided, and then turned out not to be
	// wanted.
	SkipDelivery(ctx context.Context, d ClaimedDelivery, reason, message string) error
	// CancelDelivery marks the delivery cancelled.
	CancelDelivery(ctx context.Context, d ClaimedDelivery, reason, message string) error
	// ReleaseDelivery returns an untouched claim at once; it doesn't count as an attempt.
	ReleaseDelivery(ctx context.Context, d ClaimedDelivery) error
	// QuarantineDelivery is [EventQueue.QuarantineEvent] for a delivery, which
	// [Log.Resend] and [Log.ResendAll] release.
	QuarantineDelivery(ctx context.Context, d ClaimedDelivery, reason, message string) error
}

// Log is the log of deliveries.
type Log interface {
	// Log returns deliveries that match the filter: at most limit (250 if more) after
	// offset, which is at most [MaxLogCount]. One query runs at a time; others wait for
	// their turn or the end of ctx. A query that takes longer than three seconds is
	// stopped, with an error that is also a [context.DeadlineExceeded].
	Log(ctx context.Context, f LogFilter, offset, limit int) (LogPage, error)
	// LogEntry returns one delivery of a company with all its content, or [ErrNotFound].
	LogEntry(ctx context.Context, company string, id int64) (Delivery, error)
	// ListDeliveries returns the deliveries that match the filter, by ID.
	ListDeliveries(ctx context.Context, f DeliveryFilter) ([]Delivery, error)
	// Resend sends a delivery of a company again, to the recipient (in the channel's own
	// form) or, if that is empty, its own. A delivery that failed, was cancelled, was skipped
	// when it was to be sent, or is quarantined becomes pending again, with all its attempts.
	// One that was sent is left unchanged and a copy becomes pending, as for another
	// recipient; to the provider the copy is another message. The ID is that of the delivery
	// that is now pending.
	//
	// A message that expires gets another [ResendValidity]. One that is sensitive was
	// masked and can't be sent again.
	//
	// Errors are [ErrNotFound], [ErrPending], [ErrMasked] and [ErrNoMessage].
	Resend(ctx context.Context, company string, id int64, recipient string) (pending int64, err error)
	// ResendAll sends up to limit deliveries that match the filter again, the oldest first
	// and in small steps: those that failed or, if the filter's States say so, were
	// cancelled or quarantined, and that have a message. Deliveries that a replay of their
	// event replaced and sensitive ones are left out, and so are those that expired unless
	// the filter's Reason is [ReasonExpired]. It returns how many there were, even before an
	// error, and the ID that further ones follow, which is 0 if there are none: with it as the
	// filter's After, the next call sends no delivery once more that has failed again by then.
	ResendAll(ctx context.Context, f LogFilter, limit int) (n int, next int64, err error)
	// CountResendable counts the deliveries that ResendAll would send, up to limit, and
	// reports whether there are more.
	CountResendable(ctx context.Context, f LogFilter, limit int) (n int, more bool, err error)
}

// History is the log of events.
type History interface {
	// Events returns events that match the filter: at most limit (250 if more) after
	// offset, as [Log.Log] does and taking turns with it.
	Events(ctx context.Context, f EventFilter, offset, limit int) (EventPage, error)
	// StoredEvent returns an event of a company by the platform's ID, with its Data, or
	// [ErrNotFound].
	StoredEvent(ctx context.Context, company, id string) (StoredEvent, error)
	// EventDeliveries returns the deliveries of an event of a company by its key, in the
	// order in which they were stored: at most limit (250 if more) after offset, with
	// texts cut as in [Log.Log], and whether there are more.
	EventDeliveries(ctx context.Context, company string, key int64, offset, limit int) (found []Delivery, more bool, err error)
	// EventByKey returns an event of a company by its key, with its Data, or
	// [ErrNotFound].
	EventByKey(ctx context.Context, company string, key int64) (StoredEvent, error)
	// EventHead is EventByKey without the Data.
	EventHead(ctx context.Context, company string, key int64) (StoredEvent, error)
	// EventOutcomes counts the deliveries of an event of a company by state and reason,
	// the most frequent first. It takes turns with [Log.Log], and has the same time limit.
	EventOutcomes(ctx context.Context, company string, key int64) ([]Outcome, error)
	// Attempts returns, by delivery, the attempts to send some deliveries that did not
	// succeed or were put off, the oldest first. It knows those of at most 250 deliveries.
	Attempts(ctx context.Context, deliveries []int64) (map[int64][]Attempt, error)

	// Replays returns the replays of an event of a company, the oldest first, without
	// their Data.
	Replays(ctx context.Context, company string, key int64) ([]StoredEvent, error)
	// EarlierTo returns the deliveries for which a replay of an event of a company
	// withholds the message of a rule and channel to a recipient: the recipient may have
	// received it by one of them, or may receive it yet. The oldest comes first.
	EarlierTo(ctx context.Context, company string, key int64, rule, channel, recipient string) ([]Earlier, error)
	// InFamily returns those of the delivery IDs that belong to an event of a company or
	// to one of its replays, sorted.
	InFamily(ctx context.Context, company string, key int64, ids []int64) ([]int64, error)
}

// Inbox holds the users' in-app messages.
type Inbox interface {
	// Inbox returns a user's in-app messages, newest first unless the filter says
	// otherwise. Once their texts exceed 1 MiB together, each further text is cut to 16 KiB.
	Inbox(ctx context.Context, f InboxFilter) ([]Delivery, error)
	// InboxCount returns how many messages match the filter, ignoring its Offset and
	// Limit.
	InboxCount(ctx context.Context, f InboxFilter) (int, error)
	// InboxMessage returns one in-app message of a user, or [ErrNotFound].
	InboxMessage(ctx context.Context, company, user string, id int64) (Delivery, error)
	// SetReceived records whether the user received an in-app message; [ErrNotFound] if
	// the user has no message with this ID. Its retention still counts from when it was
	// delivered.
	SetReceived(ctx context.Context, company, user string, id int64, received bool) error
	// SetAllReceived records that the user received the in-app messages with an ID up to
	// upTo, in small steps. It returns how many of them were unread.
	SetAllReceived(ctx context.Context, company, user string, upTo int64) (int, error)
	// InboxArrivals returns in-app messages of all companies in the order in which they were
	// delivered: those after a place, at most limit. A message may become visible with a place
	// before that of another one that is visible already, because transactions don't commit in
	// the order in which they began: read again what was delivered a few seconds before.
	InboxArrivals(ctx context.Context, after InboxPlace, limit int) ([]InboxArrival, error)
	// InboxAfter returns the IDs of those among the newest [MaxInboxAfter] in-app messages of
	// a user that were delivered after the message with the ID, in the order in which they were
	// delivered. Messages that were delivered shortly before it are included, see InboxArrivals.
	// If there is no such message, those with a greater ID are returned.
	InboxAfter(ctx context.Context, company, user string, id int64) ([]int64, error)
}

// Preferences holds the users' choices.
type Preferences interface {
	// SetPreference stores a user's choice and replaces an earlier one. It is durable when
	// the error is nil.
	SetPreference(ctx context.Context, p Preference) error
	// Preferences returns the choices of a user, in no particular order. Rules that the
	// user made no choice about are not included.
	Preferences(ctx context.Context, company, user string) ([]Preference, error)
	// OptedOut returns, by user, the names of those rules whose messages the user doesn't
	// want.
	OptedOut(ctx context.Context, company string, users []string, rules []Rule) (map[string][]string, error)
}

// Suppressions holds the addresses that no longer receive messages.
type Suppressions interface {
	// Suppress stores a suppression and renews an earlier one of the same address and
	// reason. It expires after keep, never if that is 0; one that never expires stays so.
	// [ErrSuppressionsFull] means that the company has [MaxSuppressions] on the channel.
	Suppress(ctx context.Context, s Suppression, keep time.Duration) error
	// Suppressed returns the suppressed addresses of a recipient that has several, in no
	// particular order.
	Suppressed(ctx context.Context, company, channel, recipient string) ([]Suppression, error)
	// Unsuppress ends the suppressions of some addresses of a recipient that has several.
	Unsuppress(ctx context.Context, company, channel, recipient string, addresses ...string) error
	// SuppressedAmong returns which of some recipients are suppressed, and why: for a hard
	// reason if there is one. It doesn't ask the database about a company that has no
	// suppressions on the channel. Those that another replica added count about a second
	// later.
	SuppressedAmong(ctx context.Context, company, channel string, recipients ...string) (map[string]SuppressionReason, error)
	// EndSuppressions ends the suppressions of a recipient for some reasons, and returns how
	// many there were.
	EndSuppressions(ctx context.Context, company, channel, recipient string, reasons ...SuppressionReason) (int, error)
	// ListSuppressions returns suppressions that match the filter, expired ones excluded: at
	// most limit (250 if more) after offset.
	ListSuppressions(ctx context.Context, f SuppressionFilter, offset, limit int) (SuppressionPage, error)
	// Suppression returns a suppression of a company, or [ErrNotFound].
	Suppression(ctx context.Context, company string, id int64) (Suppression, error)
	// DeleteSuppression deletes a suppression of a company; [ErrNotFound] if there is none.
	DeleteSuppression(ctx context.Context, company string, id int64) error
}

// FeedbackLog records what providers report about messages that they accepted.
type FeedbackLog interface {
	// FeedbackTargets returns those of some deliveries that the ledger has, without their
	// content.
	FeedbackTargets(ctx context.Context, ids []int64) ([]Delivery, error)
	// Unreported returns sent deliveries of a company on a channel about which nothing was
	// reported, without their content. One call looks at the newest 250 deliveries of the
	// company, or of those with a smaller ID than after if that is not 0. next is the after of
	// the following call; it is 0 if no more were created after createdAfter. It takes turns
	// with [Log.Log].
	Unreported(ctx context.Context, company, channel string, createdAfter time.Time, after int64) (found []Delivery, next int64, err error)
	// RecordFeedback records reports, in small steps. One that doesn't raise the rank of the
	// delivery's outcome changes nothing, so they may be repeated. A delivery whose outcome
	// was unknown is now known to have been sent. It returns which of the reports changed
	// something, in their order.
	RecordFeedback(ctx context.Context, reports []Feedback) (changed []bool, err error)
}

// Keys generates secrets that live as long as the ledger.
type Keys interface {
	// Key returns 32 random bytes for a purpose. All calls with the same name, by all
	// processes that share the ledger, return the same bytes.
	Key(ctx context.Context, name string) ([]byte, error)
}

// Erasures removes what the ledger holds about users.
type Erasures interface {
	// EraseUser deletes the messages that are about a user or were sent to the user's
	// addresses, pending ones too, with their attempts, and the user's preferences and
	// quotas. Suppressions that are a wish of the user stay, with a keyed hash instead of the
	// address, because the wish still applies. Events whose data names the user are masked;
	// those that were not decided yet are cancelled. The event with the key except is left
	// alone. Messages to others stay, even if their texts mention the user.
	//
	// It works in small steps, and can be called again after an error. The
	// record of an erasure doesn't name the user.
	EraseUser(ctx context.Context, u Subject, cause string, except int64) (Erasure, error)
	// FindUser counts what EraseUser would erase now, without erasing or recording it.
	FindUser(ctx context.Context, u Subject) (Erasure, error)
	// Erasures returns the erasures of a company, newest first: at most limit (1,000 if
	// more).
	Erasures(ctx context.Context, company string, limit int) ([]Erasure, error)
}

// Quotas counts what companies send in a day.
type Quotas interface {
	// Spend charges n messages to each of the quotas, or to none if one of them would be
	// exceeded, which it then returns. Replicas that share the ledger share the quotas.
	// All callers give the quotas of a company in the same order: company, country,
	// recipient.
	Spend(ctx context.Context, company string, n int64, quotas ...Quota) (Charge, *Quota, error)
	// GiveBack reverses a charge for messages that were not sent.
	GiveBack(ctx context.Context, c Charge) error
	// Spent returns how many messages a company was charged for today, by channel.
	Spent(ctx context.Context, company string) (map[string]int64, error)
}

// Quarantine holds the work that is set aside.
type Quarantine interface {
	// OnQuarantine has f called with each event and delivery that this process
	// quarantines, after it is stored; nil ends it. f must not block and must not call
	// the store.
	OnQuarantine(f func(Quarantined))
	// QuarantinedEvents returns quarantined events of a company, or of all companies if it
	// is empty, by key: at most limit (1,000 if more) with a key greater than after. They
	// are without Data.
	QuarantinedEvents(ctx context.Context, company string, after int64, limit int) ([]QuarantinedEvent, error)
	// ReleaseQuarantinedEvent makes a quarantined event of a company due at once, with all
	// its attempts. It reports whether there was one: a second call changes nothing.
	ReleaseQuarantinedEvent(ctx context.Context, company string, key int64) (released bool, err error)
	// ReleaseQuarantinedEvents releases all quarantined events of a company, in small
	// steps. It returns how many there were, even before an error.
	ReleaseQuarantinedEvents(ctx context.Context, company string) (int, error)
}

// Companies changes everything that belongs to a company, in small steps. The methods can
// be called again after an error.
type Companies interface {
	// CancelCompany marks the pending and quarantined events and deliveries of a company
	// cancelled. The data of the events and the texts of sensitive deliveries are masked. Use
	// it when its activation is gone.
	CancelCompany(ctx context.Context, company, reason, message string) error
	// ResumeCompany makes due at once the events of a company that are to be tried again,
	// and those of its deliveries that are to be tried again for one of the reasons. Use
	// it when the cause is fixed.
	ResumeCompany(ctx context.Context, company string, reasons ...string) error
	// PurgeCompany deletes every row of a company.
	PurgeCompany(ctx context.Context, company string) error
	// WakeDeliveries makes due at once the deliveries of a lane that wait for another
	// attempt. Use it when the cause is fixed. Claimed deliveries are left alone.
	WakeDeliveries(ctx context.Context, l Lane) error
}

// Retention deletes what need not be kept.
type Retention interface {
	// DeleteBefore deletes events and deliveries that were completed before a time, about
	// limit rows of each at most, in small steps. It returns how many it deleted. The
	// caller keeps them at least as long as the platform may repeat an event.
	DeleteBefore(ctx context.Context, before time.Time, limit int) (int, error)
	// ExpireDeliveries ends pending deliveries that have expired and that nobody is sending,
	// in small steps. Others are noticed when they are claimed. It returns how many it
	// ended.
	ExpireDeliveries(ctx context.Context) (int, error)
	// Scrub makes sure that texts that were masked or erased since the last call are no
	// longer in the ledger's files. It may fail while somebody reads; call it again then.
	Scrub(ctx context.Context) error
	// Reencrypt encrypts about limit rows with the newest key that have another one or none,
	// in small steps. It returns how many there were, and whether there are more. It is for one caller
	// at a time. A key is no longer needed once no row has it, see [Options].
	Reencrypt(ctx context.Context, limit int) (n int, more bool, err error)
	// DeleteCharges deletes what was charged to quotas before yesterday.
	DeleteCharges(ctx context.Context) error
	// DeleteThrottles deletes the counts of [Throttle] whose period has ended.
	DeleteThrottles(ctx context.Context) error
	// DeleteSuppressions deletes expired suppressions.
	DeleteSuppressions(ctx context.Context) error
}

// Activity reports the outcome of messages, for statistics: of all companies together, because
// asking for each takes too long.
type Activity interface {
	// LastBefore returns an ID that no delivery has that was created at or after a time, and
	// that is not less than those of all others; 0 if there are no others.
	LastBefore(ctx context.Context, created time.Time) (int64, error)
	// ProgressAfter returns deliveries with a greater ID, by ID, up to the first one that was
	// not created before a time: at most limit ([MaxProgress] if more).
	ProgressAfter(ctx context.Context, after int64, createdBefore time.Time, limit int) ([]Progress, error)
	// ProgressOf returns those of at most [MaxProgress] deliveries that there are, by ID.
	ProgressOf(ctx context.Context, ids []int64) ([]Progress, error)
	// PendingByCompany counts the pending deliveries of each company that has some.
	PendingByCompany(ctx context.Context) (map[string]int64, error)
	// SpentByCompany is [Quotas.Spent] for all companies.
	SpentByCompany(ctx context.Context) (map[string]map[string]int64, error)
}

// Monitor counts the work for metrics.
type Monitor interface {
	// Stats counts pending and quarantined work.
	Stats(ctx context.Context) (Stats, error)
}
