// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/rehive"
)

// The groups whose users may act for a company, as on Rehive's own extensions.
const (
	groupAdmin   = "admin"
	groupService = "service"
)

// scope is what the phases of one reconciliation work on and find out.
type scope struct {
	activation  *v1alpha1.CompanyActivation
	credentials activation.Credentials
	session     rehive.Session

	// rules are the names of the activation's rules, as the cache shows them.
	rules map[string]struct{}
	// wanted holds, for each event that needs a webhook, the rules that name it.
	wanted map[string][]string

	// Found out by the phases; nil when the phase was not reached.
	tokenValid, webhooksRegistered, providersResolved *verdict

	created, removed []string      // events whose webhooks came and went
	recalled         bool          // nothing to do since the last look
	lookAgain        time.Duration // when nothing happens before
}

// reconcile runs the phases in order until one has reason to stop.
func (r *companyActivationReconciler) reconcile(ctx context.Context, s *scope) error {
	for _, phase := range []func(context.Context, *scope) error{
		r.resolveProviders,
		r.checkHolder,
		r.checkState,
		r.loadCredentials,
		r.loadRules,
		r.recall,
		r.verifyToken,
		r.resumeWork,
		r.refreshCompany,
		r.giveDefaultRules,
		r.reconcileWebhooks,
		r.remember,
	} {
		if err := phase(ctx, s); err != nil {
			return err
		}
		if s.recalled {
			return nil
		}
	}
	return nil
}

// checkHolder stops when an older activation holds the company.
func (r *companyActivationReconciler) checkHolder(ctx context.Context, s *scope) error {
	holder, err := activation.Find(ctx, r.Client, s.activation.Spec.Company)
	if err != nil {
		return err
	}
	if holder == nil || holder.UID == s.activation.UID || !activation.Older(holder, s.activation) {
		return nil
	}
	// Its namespace may be none of this one's readers' business.
	where := "in another namespace"
	if holder.Namespace == s.activation.Namespace {
		where = fmt.Sprintf("named %s", holder.Name)
	}
	return &stopError{
		reason:  v1alpha1.DuplicateCompanyReason,
		message: fmt.Sprintf("An older CompanyActivation %s holds the company %s. Delete one of the two.", where, s.activation.Spec.Company),
		stalled: true,
	}
}

// checkState stops when the company was deactivated.
func (r *companyActivationReconciler) checkState(_ context.Context, s *scope) error {
	if s.activation.IsActive() {
		return nil
	}
	return &stopError{
		reason:  v1alpha1.InactiveReason,
		message: "The company was deactivated on Rehive: its events are refused until it is activated again.",
	}
}

// loadCredentials reads the Secret.
func (r *companyActivationReconciler) loadCredentials(ctx context.Context, s *scope) error {
	a := s.activation
	credentials, err := activation.Get(ctx, r.apiReader, a)
	if err != nil && !errors.Is(err, activation.ErrMissing) {
		return err
	}
	if credentials.Token != "" {
		// A Secret written by hand may lack the label that the cache goes by.
		if err := activation.Save(ctx, r.Client, a, credentials); err != nil {
			return err
		}
		a.Status.SecretName = activation.SecretName(a)
		s.credentials = credentials
		s.session = r.platform.WithToken(credentials.Token)
		return nil
	}
	if a.Status.ServiceUser == "" {
		return &stopError{
			reason:  v1alpha1.AwaitingActivationReason,
			message: "Rehive has not activated this extension for the company yet: an admin does it in the dashboard, under Extensions.",
		}
	}
	message := fmt.Sprintf("The Secret %s has no token.", activation.SecretName(a))
	if err != nil {
		message = fmt.Sprintf("The Secret %s is gone.", activation.SecretName(a))
	}
	return &stopError{
		reason:  v1alpha1.SecretMissingReason,
		message: message + " Activate the extension again in the dashboard of Rehive: that writes a new one.",
		stalled: true,
	}
}

// loadRules finds the events that need a webhook. A rule with a mistake in its
// templates counts: a typo must not cost a removal and a registration.
func (r *companyActivationReconciler) loadRules(ctx context.Context, s *scope) error {
	var rules v1alpha1.NotificationRuleList
	if err := r.List(ctx, &rules, client.InNamespace(s.activation.Namespace),
		client.MatchingFields{RuleActivationField: s.activation.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("listing the NotificationRules: %w", err)
	}
	s.rules, s.wanted = make(map[string]struct{}), make(map[string][]string)
	for i := range rules.Items {
		s.rules[rules.Items[i].Name] = struct{}{}
		s.want(&rules.Items[i])
	}
	return nil
}

func (s *scope) want(rule *v1alpha1.NotificationRule) {
	if event := wantedEvent(rule); event != "" && !slices.Contains(s.wanted[event], rule.Name) {
		s.wanted[event] = append(s.wanted[event], rule.Name)
		slices.Sort(s.wanted[event])
	}
}

// wantedEvent returns the event that a rule needs a webhook for, empty if none.
func wantedEvent(rule *v1alpha1.NotificationRule) string {
	if !rule.IsEnabled() {
		return ""
	}
	return rule.Spec.Event
}

// recall ends the reconciliation when everything it depends on is as it was
// when the platform was last found in order, and that isn't long ago, or when
// the platform said to wait. Without it the controller's own writes and every
// status of a rule would cost calls out of the company's budget.
func (r *companyActivationReconciler) recall(_ context.Context, s *scope) error {
	if left := r.memory.settled(s, r.now()); left > 0 {
		s.recalled, s.lookAgain = true, left
	}
	return nil
}

func (r *companyActivationReconciler) remember(_ context.Context, s *scope) error {
	s.lookAgain = wait.Jitter(r.resyncPeriod, jitter)
	r.memory.settle(s, r.now().Add(s.lookAgain))
	return nil
}

// verifyToken asks the platform whose token it is.
func (r *companyActivationReconciler) verifyToken(ctx context.Context, s *scope) error {
	ctrl.LoggerFrom(ctx).V(1).Info("Checking the token")
	user, err := s.session.Auth(ctx)
	switch {
	case rehive.IsPermanent(err):
		return s.refuseToken("Rehive refused the token: "+platformSays(err), "Activate the extension again in the dashboard of Rehive.")
	case err != nil:
		return err
	case user.Company != s.activation.Spec.Company:
		return s.refuseToken("The token belongs to a user of another company.", "Activate the extension again in the dashboard of this company.")
	case !user.InGroup(groupAdmin, groupService):
		return s.refuseToken("The token's user is in neither of the groups admin and service.", "Activate the extension again in the dashboard of Rehive.")
	}
	s.activation.Status.ServiceUser = shorten(user.ID, 64)
	s.tokenValid = &verdict{metav1.ConditionTrue, v1alpha1.TokenAcceptedReason, "Rehive accepted the token."}
	return nil
}

// resumeWork lets what waited for a token that the platform accepts go at once,
// which else would wait for its next attempt.
func (r *companyActivationReconciler) resumeWork(ctx context.Context, s *scope) error {
	token, another := sha256.Sum256([]byte(s.credentials.Token)), false
	r.memory.with(s.activation, func(entry *remembered) {
		// A process that has just started knows no token: the condition tells then.
		another = entry.accepted != token && entry.accepted != [sha256.Size]byte{}
	})
	if another || !meta.IsStatusConditionTrue(s.activation.Status.Conditions, v1alpha1.TokenValidCondition) {
		if err := r.ledger.ResumeCompany(ctx, s.activation.Spec.Company); err != nil {
			// It goes then at its next attempt, or at the next look.
			ctrl.LoggerFrom(ctx).Error(err, "Resuming the company's work failed")
			return nil
		}
	}
	r.memory.with(s.activation, func(entry *remembered) { entry.accepted = token })
	return nil
}

// refuseToken stops because no further call with the token makes sense.
func (s *scope) refuseToken(what, advice string) error {
	message := what + " " + advice
	s.tokenValid = &verdict{metav1.ConditionFalse, v1alpha1.TokenRefusedReason, message}
	return &stopError{reason: v1alpha1.TokenRefusedReason, message: message, stalled: true, lookAgain: true}
}

// refreshCompany copies what templates read of the company.
func (r *companyActivationReconciler) refreshCompany(ctx context.Context, s *scope) error {
	company, err := s.session.Company(ctx)
	switch {
	case rehive.IsForbidden(err):
		return s.refuseToken("Rehive refused to show the company: "+platformSays(err),
			"Grant the extension the admin permission company: view, then activate it again.")
	case rehive.IsPermanent(err):
		return s.refuseToken("Rehive refused to show the company: "+platformSays(err), "Activate the extension again in the dashboard of Rehive.")
	case err != nil:
		return err
	case company.ID != s.activation.Spec.Company:
		return s.refuseToken("The token speaks for another company.", "Activate the extension again in the dashboard of this company.")
	}
	s.activation.Status.CompanyInfo = v1alpha1.CompanyInfo{
		Name:        shorten(company.Name, 1024),
		SystemEmail: shorten(company.SystemEmail, 320),
		Mode:        shorten(company.Mode, 32),
	}
	return nil
}

// defaultRuleName is the name of a company's copy of a default rule.
func defaultRuleName(a *v1alpha1.CompanyActivation, rule *v1alpha1.NotificationRule) string {
	return a.Name + "-" + rule.Name
}

// giveDefaultRules creates the default rules that the company was not given
// yet. Status remembers the names, so a rule that somebody deletes stays
// deleted; a rule of that name that stands already counts as given.
func (r *companyActivationReconciler) giveDefaultRules(ctx context.Context, s *scope) error {
	a := s.activation
	for i := range r.defaultRules {
		name := defaultRuleName(a, &r.defaultRules[i])
		if slices.Contains(a.Status.DefaultRules, name) {
			continue
		}
		if _, ok := s.rules[name]; !ok {
			rule := r.defaultRules[i].DeepCopy()
			rule.Name, rule.Namespace = name, a.Namespace
			rule.Spec.CompanyRef.Name = a.Name
			switch err := r.Create(ctx, rule); {
			case apierrors.IsAlreadyExists(err):
			case err != nil:
				return fmt.Errorf("creating the default rule %s: %w", name, err)
			default:
				s.want(rule) // the cache doesn't show it yet
			}
		}
		a.Status.DefaultRules = append(a.Status.DefaultRules, name)
	}
	slices.Sort(a.Status.DefaultRules)
	return nil
}

// platformSays returns the platform's own words with a full stop.
func platformSays(err error) string {
	var platform *rehive.Error
	if errors.As(err, &platform) && platform.Message != "" {
		return sentence(platform.Message)
	}
	return sentence(err.Error())
}
