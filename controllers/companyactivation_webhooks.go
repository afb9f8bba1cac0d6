// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/rehive"
)

// maxWebhooks is the limit of status.webhooks. The platform has about forty events.
const maxWebhooks = 256

// webhookPass is one comparison of the required webhooks with the platform's.
type webhookPass struct {
	r *companyActivationReconciler
	s *scope
	// own are the platform's webhooks with our URL, by event, including the changes of this
	// pass. All other webhooks are left alone: an admin may have registered them manually.
	own map[string]rehive.Webhook
	// good are the events whose webhooks are correct.
	good     []string
	refusals []refusal
	unknown  []unknownEvent
}

// refusal is a change that the platform understood and refused.
type refusal struct {
	verb, event string
	err         error
}

type unknownEvent struct {
	event string
	err   error
}

// reconcileWebhooks registers missing webhooks, repairs those that drifted and removes
// those that no rule needs. It lists them once and changes only what differs.
func (r *companyActivationReconciler) reconcileWebhooks(ctx context.Context, s *scope) error {
	p := &webhookPass{r: r, s: s}
	if err := p.list(ctx); err != nil {
		return p.failed("list the webhooks", err)
	}
	if err := p.settleSecret(ctx); err != nil {
		return p.failed("change the webhooks", err)
	}
	err := p.ensureAll(ctx)
	if err == nil {
		p.removeSuperfluous(ctx)
	}
	p.report()
	if err != nil {
		return p.failed("register the webhooks", err)
	}
	return p.conclude()
}

func (p *webhookPass) list(ctx context.Context) error {
	listed, err := p.s.session.Webhooks(ctx, rehive.WebhookFilter{URL: p.r.webhookURL})
	if err != nil {
		return err
	}
	p.own = make(map[string]rehive.Webhook)
	for _, webhook := range listed {
		if webhook.URL == p.r.webhookURL {
			p.own[webhook.Event] = webhook
		}
	}
	return nil
}

// settleSecret decides which secret the webhooks have. It is generated once and kept
// across reactivations. If it was lost with its Secret, the platform still has it and may
// refuse to change it, because a service's webhooks are immutable while the service is
// active. The platform's secret is then adopted.
func (p *webhookPass) settleSecret(ctx context.Context) error {
	ours, theirs := p.s.credentials.WebhookSecret, p.sharedSecret()
	switch {
	case ours == "" && theirs != "":
		return p.useSecret(ctx, theirs)
	case ours == "":
		return p.useSecret(ctx, activation.NewWebhookSecret())
	case theirs == "" || theirs == ours:
		return nil
	}
	// All have a secret other than ours. One attempt shows whether the platform permits
	// changing them.
	first := p.own[slices.Min(slices.Collect(maps.Keys(p.own)))]
	changed, err := p.s.session.UpdateWebhook(ctx, first.ID, rehive.WebhookPatch{Secret: &ours})
	switch {
	case err == nil:
		p.own[first.Event] = *changed
		return nil
	case rehive.IsPermanent(err) && !rehive.IsUnauthorized(err):
		return p.useSecret(ctx, theirs)
	default:
		return err
	}
}

// sharedSecret returns the secret that all our webhooks share on the platform, or "" if
// they differ or it is too weak.
func (p *webhookPass) sharedSecret() string {
	shared := ""
	for _, webhook := range p.own {
		if len(webhook.Secret) < activation.MinWebhookSecretLength || (shared != "" && webhook.Secret != shared) {
			return ""
		}
		shared = webhook.Secret
	}
	return shared
}

// useSecret stores a webhook secret before any webhook is registered with it.
func (p *webhookPass) useSecret(ctx context.Context, secret string) error {
	ctrl.LoggerFrom(ctx).Info("Storing the webhook secret", "adopted", len(p.own) > 0)
	credentials := p.s.credentials
	credentials.WebhookSecret = secret
	if err := activation.Save(ctx, p.r.Client, p.s.activation, credentials); err != nil {
		return err
	}
	p.s.credentials = credentials
	return nil
}

// ensureAll ensures that every required webhook is correct. The refusal of one does not
// affect the others; a temporary failure ends the pass, because the next call would most
// likely hang as well.
func (p *webhookPass) ensureAll(ctx context.Context) error {
	events := slices.Sorted(maps.Keys(p.s.wanted))
	var duplicates []string
	for _, event := range events[:min(len(events), maxWebhooks)] {
		if webhook, ok := p.own[event]; ok {
			if err := p.repair(ctx, webhook); err != nil {
				return err
			}
			continue
		}
		duplicate, err := p.create(ctx, event)
		if err != nil {
			return err
		}
		if duplicate {
			duplicates = append(duplicates, event)
		}
	}
	if len(duplicates) == 0 {
		return nil
	}
	// They were created after the list was read.
	if err := p.list(ctx); err != nil {
		return err
	}
	for _, event := range duplicates {
		webhook, ok := p.own[event]
		if !ok {
			p.refusals = append(p.refusals, refusal{"register the webhook", event,
				errors.New("it reports a duplicate, but does not list it")})
			continue
		}
		if err := p.repair(ctx, webhook); err != nil {
			return err
		}
	}
	return nil
}

// create registers the webhook of an event.
func (p *webhookPass) create(ctx context.Context, event string) (duplicate bool, err error) {
	ctrl.LoggerFrom(ctx).Info("Registering a webhook", "event", event)
	webhook, err := p.s.session.CreateWebhook(ctx, rehive.WebhookRequest{
		URL: p.r.webhookURL, Event: event, Secret: p.s.credentials.WebhookSecret,
	})
	switch {
	case err == nil:
		p.s.created = append(p.s.created, event)
		p.own[event] = rehive.Webhook{ID: webhook.ID, URL: p.r.webhookURL, Event: event, Secret: p.s.credentials.WebhookSecret, Enabled: true}
		p.good = append(p.good, event)
	case rehive.IsDuplicateWebhook(err):
		return true, nil
	case isUnknownEvent(err):
		p.unknown = append(p.unknown, unknownEvent{event, err})
	case rehive.IsPermanent(err) && !rehive.IsUnauthorized(err):
		p.refusals = append(p.refusals, refusal{"register the webhook", event, err})
	default:
		return false, err
	}
	return false, nil
}

// isUnknownEvent reports whether a registration was refused because of the event's name.
func isUnknownEvent(err error) bool {
	var platform *rehive.Error
	return errors.As(err, &platform) && platform.Status == http.StatusBadRequest && len(platform.Data["event"]) > 0
}

// repair changes what drifted: the secret, or a webhook that was archived or disabled
// (which the platform does after too many failures).
func (p *webhookPass) repair(ctx context.Context, webhook rehive.Webhook) error {
	var patch rehive.WebhookPatch
	if webhook.Secret != p.s.credentials.WebhookSecret {
		patch.Secret = &p.s.credentials.WebhookSecret
	}
	if !webhook.Enabled {
		enabled := true
		patch.Enabled = &enabled
	}
	if webhook.Archived {
		archived := false
		patch.Archived = &archived
	}
	if patch == (rehive.WebhookPatch{}) {
		p.good = append(p.good, webhook.Event)
		return nil
	}
	ctrl.LoggerFrom(ctx).Info("Repairing a webhook", "event", webhook.Event, "webhook", webhook.ID,
		"secret", patch.Secret != nil, "enabled", patch.Enabled != nil, "archived", patch.Archived != nil)
	changed, err := p.s.session.UpdateWebhook(ctx, webhook.ID, patch)
	switch {
	case err == nil:
		p.own[webhook.Event] = *changed
		p.good = append(p.good, webhook.Event)
	case rehive.IsPermanent(err) && !rehive.IsUnauthorized(err):
		verb := "enable the webhook"
		if patch.Secret != nil {
			verb = "change the secret of the webhook"
		}
		p.refusals = append(p.refusals, refusal{verb, webhook.Event, err})
	default:
		return err
	}
	return nil
}

// removeSuperfluous deletes our webhooks that no rule needs, as far as the platform
// permits it: the events of those that remain are dropped.
func (p *webhookPass) removeSuperfluous(ctx context.Context) {
	log := ctrl.LoggerFrom(ctx)
	for _, event := range slices.Sorted(maps.Keys(p.own)) {
		webhook := p.own[event]
		if _, wanted := p.s.wanted[event]; wanted || webhook.Archived || p.r.memory.keeps(p.s, webhook.ID) {
			continue
		}
		log.Info("Deleting a webhook", "event", event, "webhook", webhook.ID)
		err := p.s.session.DeleteWebhook(ctx, webhook.ID)
		switch {
		case err == nil, rehive.IsNotFound(err):
			p.s.removed = append(p.s.removed, event)
			delete(p.own, event)
		case rehive.IsPermanent(err):
			log.Info("Rehive keeps a webhook that no rule needs: its events are dropped", "event", event, "webhook", webhook.ID, "answer", err.Error())
			p.r.memory.keep(p.s, webhook.ID)
		default:
			log.Info("Deleting a webhook failed; it is retried at the next check", "event", event, "webhook", webhook.ID, "answer", err.Error())
			return
		}
	}
}

// report writes the webhooks on the platform to the status, including those that the
// platform refuses to change or delete, even if the pass was aborted.
func (p *webhookPass) report() {
	status := &p.s.activation.Status
	status.Webhooks, status.UnknownEvents = nil, nil
	for _, event := range slices.Sorted(maps.Keys(p.own)) {
		if webhook := p.own[event]; webhook.Enabled && !webhook.Archived && len(status.Webhooks) < maxWebhooks {
			status.Webhooks = append(status.Webhooks, v1alpha1.RegisteredWebhook{Event: event, ID: webhook.ID})
		}
	}
	for _, u := range p.unknown {
		status.UnknownEvents = append(status.UnknownEvents, u.event)
	}
}

// failed classifies an error that ended the pass.
func (p *webhookPass) failed(what string, err error) error {
	switch {
	case rehive.IsUnauthorized(err):
		return p.s.refuseToken("Rehive refused the token: "+platformSays(err), "Activate the extension again in the dashboard of Rehive.")
	case rehive.IsPermanent(err):
		return p.refused(fmt.Sprintf("Rehive refused to %s: %s%s", what, platformSays(err), advice(err)))
	default:
		return err
	}
}

func (p *webhookPass) refused(message string) error {
	p.s.webhooksRegistered = &verdict{metav1.ConditionFalse, v1alpha1.RefusedReason, message}
	return &stopError{reason: v1alpha1.RefusedReason, message: message, stalled: true, checkAgain: true}
}

// conclude writes the result of the pass to the condition. An event that the platform
// does not know is a mistake in its rules, which are not ready; the company is.
func (p *webhookPass) conclude() error {
	unknown := p.unknownSentence()
	if len(p.refusals) > 0 {
		return p.refused(strings.TrimSpace(p.refusalSentences() + " " + unknown))
	}
	if len(p.unknown) > 0 {
		p.s.webhooksRegistered = &verdict{metav1.ConditionFalse, v1alpha1.UnknownEventReason, unknown}
		return nil
	}
	message := "No enabled rule names an event, so no webhook is needed."
	if len(p.good) > 0 {
		slices.Sort(p.good)
		message = "Registered on Rehive: " + strings.Join(p.good, ", ") + "."
	}
	p.s.webhooksRegistered = &verdict{metav1.ConditionTrue, v1alpha1.RegisteredReason, message}
	return nil
}

// refusalSentences describes the refusals, grouped by cause.
func (p *webhookPass) refusalSentences() string {
	type cause struct{ verb, answer string }
	events := make(map[cause][]string)
	for _, refusal := range p.refusals {
		c := cause{refusal.verb, platformSays(refusal.err) + advice(refusal.err)}
		events[c] = append(events[c], refusal.event)
	}
	causes := slices.SortedFunc(maps.Keys(events), func(a, b cause) int {
		return cmp.Or(strings.Compare(a.verb, b.verb), strings.Compare(a.answer, b.answer))
	})
	sentences := make([]string, len(causes))
	for i, c := range causes {
		verb := c.verb
		if len(events[c]) > 1 {
			verb += "s"
		}
		sentences[i] = fmt.Sprintf("Rehive refused to %s for %s: %s", verb, strings.Join(events[c], ", "), c.answer)
		if strings.HasPrefix(c.verb, "change") || strings.HasPrefix(c.verb, "enable") {
			sentences[i] += " Deactivate the extension, delete this webhook in the dashboard of Rehive, then activate the extension again."
		}
	}
	return strings.Join(sentences, " ")
}

func (p *webhookPass) unknownSentence() string {
	sentences := make([]string, len(p.unknown))
	for i, u := range p.unknown {
		sentences[i] = fmt.Sprintf("Rehive does not know the event %s, which %s: %s", u.event, rulesName(p.s.wanted[u.event]), platformSays(u.err))
	}
	return strings.Join(sentences, " ")
}

func rulesName(rules []string) string {
	switch len(rules) {
	case 0:
		return "the operator needs to erase the data of deleted users"
	case 1:
		return "the rule " + rules[0] + " names"
	}
	return "the rules " + strings.Join(rules, ", ") + " name"
}

// advice explains to an admin how to grant a missing permission.
func advice(err error) string {
	if !rehive.IsForbidden(err) {
		return ""
	}
	return " Grant the extension the admin permissions webhook: view, add, change, delete, then activate it again."
}
