// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/rehive/extension-operator/internal/catalog"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/rehive"
)

const (
	// maxTriggeredUsers is how many users a rule can be triggered for at once. Users who
	// are in two of the groups count twice.
	maxTriggeredUsers = 10_000
	// maxTriggeredBytes is how much text all messages of a trigger may hold.
	maxTriggeredBytes = 256 << 20
	// triggerStep is how many users are evaluated and stored at once. Between steps, other
	// work has access to the ledger, and the step's memory is released.
	triggerStep = rehive.MaxUserIDs
	// triggerStepBytes is how many bytes a step holds at least to be stored before all of
	// its users are decided.
	triggerStepBytes = 4 << 20
	// newRuleAge is how long a triggered rule may be missing because this replica's cache
	// has not seen yet that it was created.
	newRuleAge = 30 * time.Second
)

// trigger is the work on one [notify.TriggerEvent].
type trigger struct {
	*decider
	rule     *catalog.Rule
	platform rehive.Session
	claimed  *ledger.ClaimedEvent
	messages messageMemory

	seen       map[string]bool // users, by identifier in lower case
	deliveries []ledger.NewDelivery
	stored     int // deliveries of former steps
	bytes      int // of text, of all steps

	page int64 // bytes that the step's users take
}

// trigger evaluates one rule for each of the users to whom a person sends it. It stores all
// deliveries except those that it returns. If it is interrupted, the event is decided from
// the start, and deliveries that the ledger already has are left out.
func (d *Dispatcher) trigger(ctx context.Context, claimed *ledger.ClaimedEvent, memory *flow.Grant) ([]ledger.NewDelivery, error) {
	var asked notify.Trigger
	if err := json.Unmarshal(claimed.Data, &asked); err != nil {
		return nil, finalError{errors.New("the trigger can't be read"), reasonInvalidData}
	}
	company, err := d.Catalog.Activation(ctx, claimed.Company)
	if err != nil {
		return nil, err
	}
	rule, err := d.Catalog.RuleIn(ctx, company, asked.Rule)
	if err != nil {
		return nil, err
	}
	if rule == nil {
		if claimed.Age < newRuleAge {
			return nil, fmt.Errorf("there is no rule %s, or not yet", asked.Rule)
		}
		return []ledger.NewDelivery{{
			RuleName: asked.Rule, Channel: string(asked.Channel),
			FailReason: string(notify.RuleNotFound), FailMessage: "the notification was deleted after it was triggered",
		}}, nil
	}
	claimed.Sensitive = rule.Sensitive
	token, err := d.Catalog.Token(ctx, company)
	if err != nil {
		return nil, err
	}
	if len(asked.Data) == 0 {
		asked.Data = json.RawMessage("{}")
	}
	decider, err := d.newDecider(ctx, company, claimed.Event, asked.Data, []*catalog.Rule{rule}, nil)
	if err != nil {
		return nil, err
	}
	t := &trigger{
		decider: decider, rule: rule, platform: d.Platform.WithToken(token).Paced(), claimed: claimed,
		messages: messageMemory{d: d, grant: memory, key: claimed.Key}, seen: make(map[string]bool),
	}
	if t.messages.data, err = notify.DataCost(claimed.Data); err != nil {
		return nil, finalError{err, reasonTooLarge}
	}
	if err := t.decide(ctx, &asked); err != nil {
		return nil, err
	}
	return t.deliveries, nil
}

func (t *trigger) decide(ctx context.Context, asked *notify.Trigger) error {
	if t.rule.Compiled.Disabled || len(asked.Users)+len(asked.Groups) == 0 {
		ctx, cancel := context.WithTimeout(ctx, decideTimeout)
		defer cancel()
		decision, err := t.d.decideRule(ctx, t.rule, t.event, t.sender)
		if err != nil {
			return fmt.Errorf("rule %s: %w", t.rule.Name, err)
		}
		return t.add(decision)
	}
	groups, total, err := t.groups(ctx, asked.Groups)
	if err != nil {
		return err
	}
	if total += len(asked.Users); total > maxTriggeredUsers {
		return t.notSent("", "", notify.TooManyUsers, fmt.Sprintf("the notification was triggered for %d users, and %d are the most at once: trigger it for fewer groups", total, maxTriggeredUsers))
	}
	if err := t.users(ctx, asked.Users); err != nil {
		return err
	}
	for _, group := range groups {
		if err := t.group(ctx, group); err != nil {
			return err
		}
	}
	return nil
}

// groups counts the users of groups, and returns those groups that have any.
func (t *trigger) groups(ctx context.Context, names []string) (groups []string, users int, err error) {
	listed := make(map[string]bool, len(names))
	for _, group := range names {
		if listed[group] {
			continue
		}
		listed[group] = true
		if err := t.store(ctx); err != nil {
			return nil, 0, err
		}
		n, err := t.platform.CountUsersInGroup(ctx, group)
		if err != nil && !isUnknown(err) {
			return nil, 0, err
		}
		if err != nil || n == 0 {
			if err := t.notSent("group:"+group, "", notify.UnknownGroup, "the company has no such group, or no active user is in it"); err != nil {
				return nil, 0, err
			}
			continue
		}
		groups, users = append(groups, group), users+n
	}
	return groups, users, nil
}

// isUnknown reports whether the platform refused a name, and not the caller.
func isUnknown(err error) bool {
	return rehive.IsPermanent(err) && !rehive.IsUnauthorized(err) && !rehive.IsForbidden(err)
}

// users decides the rule for users by their identifiers.
func (t *trigger) users(ctx context.Context, ids []string) error {
	var known []string
	listed := make(map[string]bool, len(ids))
	for _, id := range ids {
		switch lower := strings.ToLower(id); {
		case listed[lower]:
		case uuid.Validate(id) != nil || len(id) != len(uuid.Nil.String()):
			if err := t.notSent("user:"+id, "", notify.UnknownUser, "it is not the identifier of a user, which is a UUID"); err != nil {
				return err
			}
		default:
			known = append(known, lower)
		}
		listed[strings.ToLower(id)] = true
	}
	for len(known) > 0 {
		some := known[:min(len(known), triggerStep)]
		known = known[len(some):]
		found, err := t.platform.UsersByID(ctx, some)
		if err != nil {
			return err
		}
		active := found[:0]
		for i := range found {
			if user := &found[i]; !user.Archived && !user.Deactivated && t.isOwn(user) {
				active = append(active, *user)
			}
		}
		if err := t.step(ctx, active); err != nil {
			return err
		}
		for _, id := range some {
			if !t.seen[id] {
				if err := t.notSent(id, id, notify.UnknownUser, "the company has no such user, or the user is archived or deactivated"); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// isOwn reports whether a user belongs to the trigger's company: the token may belong to
// another company.
func (t *trigger) isOwn(user *rehive.UserRecord) bool {
	return user.Company == "" || user.Company == t.claimed.Company
}

// group decides the rule for the users of a group.
func (t *trigger) group(ctx context.Context, group string) error {
	page := make([]rehive.UserRecord, 0, triggerStep)
	for user, err := range t.platform.UsersInGroup(ctx, group) {
		if err != nil {
			return err
		}
		if t.isOwn(&user) {
			page = append(page, user)
		}
		if len(page) == triggerStep {
			if err := t.step(ctx, page); err != nil {
				return err
			}
			page = page[:0]
		}
	}
	return t.step(ctx, page)
}

// step stores the decisions so far, and evaluates the rule for more users.
func (t *trigger) step(ctx context.Context, users []rehive.UserRecord) error {
	t.page = 0
	if err := t.store(ctx); err != nil {
		return err
	}
	if err := t.hold(users); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, decideTimeout)
	defer cancel()
	fresh := users[:0]
	ids := make([]string, 0, len(users))
	for _, user := range users {
		user.ID = strings.ToLower(user.ID)
		if !t.seen[user.ID] {
			t.seen[user.ID] = true
			fresh, ids = append(fresh, user), append(ids, user.ID)
		}
	}
	if len(t.seen) > maxTriggeredUsers {
		return t.notSent("", "", notify.TooManyUsers, fmt.Sprintf("the groups grew while the notification was sent: no more than %d users get it", maxTriggeredUsers))
	}
	if err := t.askUsers(ctx, ids); err != nil {
		return err
	}
	t.compute.left = eventComputeTime
	for i := range fresh {
		user := &fresh[i]
		if t.messages.made-t.page > triggerStepBytes {
			if err := t.store(ctx); err != nil {
				return err
			}
		}
		event, err := t.event.ForUser(user.Raw)
		if err != nil {
			return err
		}
		decision, err := t.d.decideRule(ctx, t.rule, event, t.sender)
		if err != nil {
			return fmt.Errorf("rule %s: %w", t.rule.Name, err)
		}
		for j := range decision.NotSent {
			// The ledger keeps one delivery for each recipient. Two users may have the
			// same address, or none, and one's refusal must not hide the other's message.
			if not := &decision.NotSent[j]; not.Recipient != user.ID {
				not.Recipient, not.User = strings.TrimSpace(user.ID+" "+not.Recipient), user.ID
			}
		}
		if err := t.add(decision); err != nil {
			return err
		}
	}
	return nil
}

// hold reserves memory for users, one of whom at a time is parsed.
func (t *trigger) hold(users []rehive.UserRecord) error {
	var parsed int64
	for i := range users {
		cost, err := notify.DataCost(users[i].Raw)
		if err != nil {
			return finalError{fmt.Errorf("a user is too large: %w", err), reasonTooLarge}
		}
		parsed = max(parsed, cost)
		t.page += int64(len(users[i].Raw))
	}
	t.page += parsed
	return t.messages.grow(t.page)
}

// askUsers reads the opt-outs of all users at once.
func (t *trigger) askUsers(ctx context.Context, users []string) error {
	if t.optedOut == nil || len(users) == 0 {
		return nil
	}
	known, err := t.optedOut(ctx, users)
	if err != nil {
		return fmt.Errorf("reading what users opted out of: %w", err)
	}
	asked := make(map[string]bool, len(users))
	for _, user := range users {
		asked[user] = true
	}
	t.event.OptedOut = func(ctx context.Context, users []string) (map[string][]string, error) {
		for _, user := range users {
			if !asked[user] { // a user named by the rule itself
				return t.optedOut(ctx, users)
			}
		}
		out := make(map[string][]string, len(users))
		for _, user := range users {
			out[user] = known[user]
		}
		return out, nil
	}
	return nil
}

// store stores the deliveries so far, and renews the claim.
func (t *trigger) store(ctx context.Context) error {
	if err := t.d.Ledger.RenewEvent(ctx, t.claimed, lease); err != nil {
		return err
	}
	if err := t.d.Ledger.AddDeliveries(ctx, t.claimed, t.deliveries); err != nil {
		return err
	}
	t.stored += len(t.deliveries)
	clear(t.deliveries)
	t.deliveries = t.deliveries[:0]
	t.messages.made = t.page
	t.messages.grant.Shrink(t.messages.data + t.page)
	return nil
}

// notSent records why a recipient gets no message. A recipient that is not an address or a
// user must not look like one: the ledger has one delivery for each recipient.
func (t *trigger) notSent(recipient, user string, reason notify.Reason, detail string) error {
	return t.add(notify.Decision{NotSent: []notify.NotSent{{Recipient: recipient, User: user, Reason: reason, Detail: detail}}})
}

// add adds the decision for one user.
func (t *trigger) add(decision notify.Decision) error {
	if err := t.messages.add(&decision); err != nil {
		return err
	}
	if len(decision.Messages) > 0 {
		first := &decision.Messages[0]
		t.bytes += len(first.Subject) + len(first.Text) + len(first.HTML)
	}
	t.deliveries = appendDecision(t.deliveries, t.namespace, t.rule, decision)
	switch n := t.stored + len(t.deliveries); {
	case n > 2*maxTriggeredUsers:
		return finalError{fmt.Errorf("the notification makes more than %d messages, the most that can be triggered at once: trigger it for fewer users", 2*maxTriggeredUsers), reasonTooManyMessages}
	case t.bytes > maxTriggeredBytes:
		return finalError{fmt.Errorf("the notification's messages hold more than %d MiB, the most that can be triggered at once: trigger it for fewer users", maxTriggeredBytes>>20), reasonTooManyMessages}
	}
	return nil
}
