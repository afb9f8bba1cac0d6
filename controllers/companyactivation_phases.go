// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/providers"
	"github.com/rehive/extension-operator/internal/rehive"
)

// scope is the data that the phases of one reconciliation share.
type scope struct {
	activation  *v1alpha1.CompanyActivation
	report      *report
	credentials activation.Credentials
	session     rehive.Session

	// rules are the names of the activation's rules, as the cache shows them.
	rules map[string]struct{}
	// wanted holds, for each event that needs a webhook, the rules that name it; none for an
	// event that only the operator itself needs.
	wanted map[string][]string

	// Results of the phases; nil if the phase was not reached.
	tokenValid, webhooksRegistered, providersResolved, senderDomain *verdict
	senderDomainChecked                                             bool

	created, removed []string      // events whose webhooks were created and removed
	unchanged        bool          // unchanged since the last check
	checkAgain       time.Duration // the delay before the next check if nothing happens earlier
}

// reconcile runs the phases in order until one stops.
func (r *companyActivationReconciler) reconcile(ctx context.Context, s *scope) error {
	for _, phase := range []func(context.Context, *scope) error{
		r.resolveProviders,
		r.purge,
		r.checkNamespace,
		r.checkHolder,
		r.checkGracePeriod,
		r.dropFinalizer,
		r.checkState,
		r.loadCredentials,
		r.loadRules,
		r.skipUnchanged,
		r.announce,
		r.verifyToken,
		r.resumeWork,
		r.refreshCompany,
		r.checkSenderDomain,
		r.createDefaultRules,
		r.reconcileWebhooks,
		r.remember,
	} {
		if err := phase(ctx, s); err != nil {
			return err
		}
		if s.unchanged {
			return nil
		}
	}
	return nil
}

// checkNamespace stops if the operator's configuration does not allow the namespace to
// hold the company.
func (r *companyActivationReconciler) checkNamespace(ctx context.Context, s *scope) error {
	a := s.activation
	if r.namespaces.Allows(a.Namespace, a.Spec.Company) {
		return nil
	}
	r.memory.doesNotHold(a)
	if err := r.forgetToken(ctx, s); err != nil {
		return err
	}
	return &stopError{
		reason: v1alpha1.NamespaceNotAllowedReason,
		message: fmt.Sprintf("The namespace %s may not hold the company %s, so this object is ignored. Create it in the operator's own namespace, or allow this one with the operator's flag %s.",
			a.Namespace, a.Spec.Company, activation.NamespacesFlag),
		stalled: true,
	}
}

// checkHolder stops if another activation holds the company.
func (r *companyActivationReconciler) checkHolder(ctx context.Context, s *scope) error {
	a := s.activation
	other := func(reader client.Reader) (*v1alpha1.CompanyActivation, error) {
		holder, err := r.namespaces.Holder(ctx, reader, a.Spec.Company)
		// A holder that is not in the cache yet is this one.
		if err != nil || holder == nil || holder.UID == a.UID || !activation.Older(holder, a) {
			return nil, err
		}
		return holder, nil
	}
	holder, err := other(r.Client)
	if err != nil {
		return err
	}
	if holder == nil {
		r.memory.holds(a)
		return nil
	}
	r.memory.doesNotHold(a)
	// The cache may be behind, and a token that is forgotten is lost.
	if live, err := other(r.apiReader); err != nil {
		return err
	} else if live != nil {
		if err := r.forgetToken(ctx, s); err != nil {
			return err
		}
	}
	// The name of another namespace may be confidential.
	name := ""
	if holder.Namespace == a.Namespace {
		name = fmt.Sprintf(", %s,", holder.Name)
	}
	return &stopError{
		reason: v1alpha1.DuplicateCompanyReason,
		message: fmt.Sprintf("An older CompanyActivation%s holds the company %[2]s. Find both with: kubectl get companyactivations --all-namespaces --field-selector spec.company=%[2]s. "+
			"Delete this one, or delete the other and activate the extension again in the dashboard of Rehive.", name, a.Spec.Company),
		stalled: true,
	}
}

// forgetToken removes the company's token from the Secret of an activation that does not
// hold it, so that a duplicate never inherits a company: when the holder is deleted, the
// platform must activate the company again.
func (r *companyActivationReconciler) forgetToken(ctx context.Context, s *scope) error {
	status := &s.activation.Status
	status.ServiceUser, status.Token, status.Webhooks, status.UnknownEvents = "", v1alpha1.TokenStatus{}, nil, nil
	credentials, err := activation.Get(ctx, r.apiReader, s.activation)
	var unusable *activation.UnusableSecretError
	if errors.Is(err, activation.ErrMissing) || errors.As(err, &unusable) {
		return nil
	}
	if err != nil || credentials.Token == "" && credentials.ServiceUser == "" {
		return err
	}
	ctrl.LoggerFrom(ctx).Info("Removing the token from the Secret of an activation that does not hold its company")
	credentials.Token, credentials.ServiceUser = "", ""
	return activation.Save(ctx, r.Client, s.activation, credentials)
}

// purges reports whether the deletion of an activation removes everything of its company.
func purges(a *v1alpha1.CompanyActivation) bool {
	return a.Annotations[v1alpha1.PurgeAnnotation] == "true" || a.Annotations[v1alpha1.PurgeAfterAnnotation] != ""
}

// purge deletes an activation that is marked for it. Its finalizer lasts as long as the
// purge takes.
func (r *companyActivationReconciler) purge(ctx context.Context, s *scope) error {
	if s.activation.Annotations[v1alpha1.PurgeAnnotation] != "true" {
		return nil
	}
	return r.deleteWithFinalizer(ctx, s)
}

func (r *companyActivationReconciler) deleteWithFinalizer(ctx context.Context, s *scope) error {
	a, err := r.patchFinalizer(ctx, s.activation, controllerutil.AddFinalizer)
	if err != nil {
		return fmt.Errorf("adding the finalizer: %w", err)
	}
	// Not if the company was activated again since it was read.
	err = r.Delete(ctx, a.DeepCopy(), client.Preconditions{UID: &a.UID, ResourceVersion: &a.ResourceVersion})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting the CompanyActivation: %w", err)
	}
	return &stopError{
		reason:  v1alpha1.PurgePendingReason,
		message: "The company was removed from Rehive. Its rules and all stored data are being deleted.",
		after:   retryMax, // unless the deletion is seen before
	}
}

// checkGracePeriod purges the company of an activation whose grace period is over, and
// stops until then.
func (r *companyActivationReconciler) checkGracePeriod(ctx context.Context, s *scope) error {
	a := s.activation
	value := a.Annotations[v1alpha1.PurgeAfterAnnotation]
	if value == "" {
		return nil
	}
	after, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return &stopError{
			reason:  v1alpha1.PurgePendingReason,
			message: fmt.Sprintf("The annotation %s is not a time such as 2026-01-31T12:00:00Z. Remove it, or delete this object to purge the company.", v1alpha1.PurgeAfterAnnotation),
			stalled: true,
		}
	}
	left := after.Sub(r.now())
	if left <= 0 {
		ctrl.LoggerFrom(ctx).Info("Purging a company that was removed from Rehive: its grace period is over")
		return r.deleteWithFinalizer(ctx, s)
	}
	return &stopError{
		reason: v1alpha1.PurgePendingReason,
		message: fmt.Sprintf("The company was removed from Rehive. Its rules and all stored data are deleted at %s, unless the extension is activated again before then.",
			after.UTC().Format(time.RFC3339)),
		after: left,
	}
}

// checkState stops if the company is inactive.
func (r *companyActivationReconciler) checkState(ctx context.Context, s *scope) error {
	if s.activation.IsActive() {
		return nil
	}
	message := "The extension was deactivated for the company on Rehive: its events are refused until it is activated again there."
	credentials, err := activation.Get(ctx, r.apiReader, s.activation)
	if err == nil || errors.Is(err, activation.ErrMissing) {
		s.activation.Status.Token = tokenStatus(credentials)
	}
	if err == nil && credentials.Token != "" {
		// A deactivation on the platform removes the token.
		message = "spec.state is Inactive, so the company's events are refused, though the extension is active on Rehive. Set spec.state to Active to accept them again."
	}
	return &stopError{reason: v1alpha1.InactiveReason, message: message}
}

// loadCredentials reads the Secret.
func (r *companyActivationReconciler) loadCredentials(ctx context.Context, s *scope) error {
	a := s.activation
	credentials, err := activation.Get(ctx, r.apiReader, a)
	if err != nil && !errors.Is(err, activation.ErrMissing) {
		return err
	}
	a.Status.Token = tokenStatus(credentials)
	if credentials.Token != "" {
		// The label that the cache selects by may have been removed.
		if err := activation.Save(ctx, r.Client, a, credentials); err != nil {
			return err
		}
		a.Status.SecretName = activation.SecretName(a)
		r.memory.with(a, func(entry *remembered) { entry.departure.token = credentials.Token })
		s.credentials = credentials
		s.session = r.platform.WithToken(credentials.Token)
		return nil
	}
	if a.Status.ServiceUser == "" {
		return &stopError{
			reason: v1alpha1.AwaitingActivationReason,
			message: "Rehive has not activated this extension for the company yet. An admin can switch it on in the dashboard, under Extensions. " +
				"If it is on already, because of an activation that has been deleted, switch it off and on again.",
		}
	}
	message := fmt.Sprintf("The Secret %s has no token.", activation.SecretName(a))
	if err != nil {
		message = fmt.Sprintf("The Secret %s does not exist.", activation.SecretName(a))
	}
	return &stopError{
		reason:  v1alpha1.SecretMissingReason,
		message: message + " Activate the extension again in the dashboard of Rehive, which writes a new one.",
		stalled: true,
	}
}

// tokenStatus returns what the status shows of a token.
func tokenStatus(c activation.Credentials) v1alpha1.TokenStatus {
	status := v1alpha1.TokenStatus{ReceivedTime: seconds(c.TokenReceived), LastRotationTime: seconds(c.TokenRotated)}
	if !c.TokenReceived.IsZero() && !c.TokenRotated.IsZero() {
		status.NextRotationTime = seconds(c.TokenReceived.Add(v1alpha1.TokenRotationPeriod))
	}
	return status
}

// dropFinalizer removes the finalizer that earlier versions gave to every activation.
func (r *companyActivationReconciler) dropFinalizer(ctx context.Context, s *scope) error {
	if _, err := r.patchFinalizer(ctx, s.activation, controllerutil.RemoveFinalizer); err != nil {
		return fmt.Errorf("removing the finalizer: %w", err)
	}
	return nil
}

// loadRules finds the events that need a webhook. A rule with a mistake in its templates
// counts too: a typo must not cause the removal and registration of a webhook.
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
	// Rules that an earlier reconciliation created may not be in the cache yet. Without
	// them, their webhooks would be removed, only to be registered again.
	var missing []string
	r.memory.with(s.activation, func(entry *remembered) {
		maps.DeleteFunc(entry.given, func(name string, _ struct{}) bool {
			_, shown := s.rules[name]
			return shown
		})
		missing = slices.Collect(maps.Keys(entry.given))
	})
	for _, name := range missing {
		rule := new(v1alpha1.NotificationRule)
		switch err := r.apiReader.Get(ctx, client.ObjectKey{Namespace: s.activation.Namespace, Name: name}, rule); {
		case apierrors.IsNotFound(err):
			r.memory.with(s.activation, func(entry *remembered) { delete(entry.given, name) })
		case err != nil:
			return fmt.Errorf("reading the default rule %s: %w", name, err)
		default:
			s.rules[name] = struct{}{}
			s.want(rule)
		}
	}
	if _, ok := s.wanted[rehive.EventUserUpdate]; r.erasureWebhook && !ok {
		s.wanted[rehive.EventUserUpdate] = nil
	}
	return nil
}

func (s *scope) want(rule *v1alpha1.NotificationRule) {
	if event := requiredEvent(rule); event != "" && !slices.Contains(s.wanted[event], rule.Name) {
		s.wanted[event] = append(s.wanted[event], rule.Name)
		slices.Sort(s.wanted[event])
	}
}

// requiredEvent returns the event for which a rule needs a webhook, or "".
func requiredEvent(rule *v1alpha1.NotificationRule) string {
	if !rule.IsEnabled() {
		return ""
	}
	return rule.Spec.Event
}

// skipUnchanged ends the reconciliation if everything that it depends on is unchanged
// since a recent check found the platform in order, or if the platform asked to wait.
// Otherwise, the controller's own writes and every status of a rule would cost calls from
// the company's budget.
func (r *companyActivationReconciler) skipUnchanged(_ context.Context, s *scope) error {
	left := r.memory.remainingValidity(s, r.now())
	if left == 0 {
		left = r.memory.remainingCheckDelay(s, r.now())
	}
	if left > 0 {
		s.unchanged, s.checkAgain = true, left
	}
	return nil
}

func (r *companyActivationReconciler) remember(_ context.Context, s *scope) error {
	s.checkAgain = wait.Jitter(r.resyncPeriod, jitter)
	r.memory.settle(s, r.now().Add(s.checkAgain))
	r.memory.checked(s, r.now())
	return nil
}

// announce shows that the registration of a new activation is in progress. With a slow
// platform it takes minutes, in which the status would still ask for an activation.
func (r *companyActivationReconciler) announce(ctx context.Context, s *scope) error {
	switch conditionReason(s.activation, v1alpha1.ReadyCondition) {
	case "", v1alpha1.AwaitingActivationReason, v1alpha1.InactiveReason, v1alpha1.SecretMissingReason, v1alpha1.PurgePendingReason:
	default:
		return nil
	}
	registering := verdict{metav1.ConditionFalse, v1alpha1.RegisteringReason,
		"Rehive has activated this extension for the company. Its token is being checked and its webhooks are being registered."}
	setReady(s.activation, registering, false)
	set(s.activation, v1alpha1.TokenValidCondition, s.tokenValid.or(registering))
	set(s.activation, v1alpha1.WebhooksRegisteredCondition, s.webhooksRegistered.or(registering))
	return s.report.writeConditions(ctx)
}

// verifyToken asks the platform for the token's user.
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
	case !user.InGroup(activation.GroupAdmin, activation.GroupService):
		return s.refuseToken("The token's user is in neither of the groups admin and service.", "Activate the extension again in the dashboard of Rehive.")
	}
	if err := r.recordUser(ctx, s, user); err != nil {
		return err
	}
	s.activation.Status.ServiceUser = shorten(user.ID, 64)
	s.tokenValid = &verdict{metav1.ConditionTrue, v1alpha1.TokenAcceptedReason, "Rehive accepted the token."}
	return nil
}

// recordUser stores the token's user with the token, unless it is already stored.
func (r *companyActivationReconciler) recordUser(ctx context.Context, s *scope, user *rehive.User) error {
	known := s.credentials.ServiceUser
	if s.credentials.RecordUser(user); s.credentials.ServiceUser == known {
		return nil
	}
	err := activation.Save(ctx, r.Client, s.activation, s.credentials)
	var unusable *activation.UnusableSecretError
	if errors.As(err, &unusable) {
		return nil // an immutable Secret works as long as the token does
	}
	if err != nil {
		return err
	}
	s.credentials, err = activation.Get(ctx, r.apiReader, s.activation)
	return err
}

// resumeWork makes the work that waited for a valid token due immediately instead of at
// its next attempt.
func (r *companyActivationReconciler) resumeWork(ctx context.Context, s *scope) error {
	token, another := sha256.Sum256([]byte(s.credentials.Token)), false
	r.memory.with(s.activation, func(entry *remembered) {
		// A process that has just started does not know the token, so the condition
		// decides.
		another = entry.accepted != token && entry.accepted != [sha256.Size]byte{}
	})
	if another || !meta.IsStatusConditionTrue(s.activation.Status.Conditions, v1alpha1.TokenValidCondition) {
		if err := r.ledger.ResumeCompany(ctx, s.activation.Spec.Company, providers.ReasonTokenMissing, providers.ReasonTokenRefused); err != nil {
			// The work resumes at its next attempt, or after the next check.
			ctrl.LoggerFrom(ctx).Error(err, "Resuming the company's work failed")
			return nil
		}
	}
	r.memory.with(s.activation, func(entry *remembered) { entry.accepted = token })
	return nil
}

// refuseToken stops because further calls with the token are pointless.
func (s *scope) refuseToken(what, advice string) error {
	message := what + " " + advice
	s.tokenValid = &verdict{metav1.ConditionFalse, v1alpha1.TokenRefusedReason, message}
	return &stopError{reason: v1alpha1.TokenRefusedReason, message: message, stalled: true, checkAgain: true}
}

// refreshCompany updates the company's data that templates read.
func (r *companyActivationReconciler) refreshCompany(ctx context.Context, s *scope) error {
	company, err := s.session.Company(ctx)
	switch {
	case rehive.IsForbidden(err):
		return s.refuseToken("Rehive refused to return the company: "+platformSays(err),
			"Grant the extension the admin permission company: view, then activate it again.")
	case rehive.IsPermanent(err):
		return s.refuseToken("Rehive refused to return the company: "+platformSays(err), "Activate the extension again in the dashboard of Rehive.")
	case err != nil:
		return err
	case company.ID != s.activation.Spec.Company:
		return s.refuseToken("The token belongs to another company.", "Activate the extension again in the dashboard of this company.")
	}
	s.activation.Status.CompanyInfo = v1alpha1.CompanyInfo{
		CompanyProfile: v1alpha1.CompanyProfile{
			Name:         shorten(company.Name, 1024),
			Website:      shorten(company.Website, 2048),
			SystemEmail:  shorten(company.SystemEmail, 320),
			SupportEmail: shorten(company.SupportEmail, 320),
			ContactEmail: shorten(company.ContactEmail, 320),
			Logo:         shorten(company.Logo, 2048),
			Icon:         shorten(company.Icon, 2048),
		},
		Mode: shorten(company.Mode, 32),
	}
	return nil
}

// defaultRuleName returns the name of a company's copy of a default rule.
func defaultRuleName(a *v1alpha1.CompanyActivation, rule *v1alpha1.NotificationRule) string {
	return a.Name + "-" + rule.Name
}

// createDefaultRules creates the default rules when a company is activated for the first
// time: those of the NotificationTemplates in the operator's namespace that are marked as
// default, and the built-in ones. A template replaces the built-in rule with its name even
// if it isn't marked. Later activations, and later versions of the operator, add no rules:
// a company's users must not receive messages that its admins don't know of. The status
// records the names. A rule that already exists is kept and counts as created.
func (r *companyActivationReconciler) createDefaultRules(ctx context.Context, s *scope) error {
	a := s.activation
	if len(a.Status.DefaultRules) > 0 {
		return nil
	}
	rules, err := r.defaultsFor(ctx, a)
	if err != nil {
		return err
	}
	var given []string
	for i := range rules {
		name := defaultRuleName(a, &rules[i])
		if err := r.createDefaultRule(ctx, s, name, &rules[i]); err != nil {
			return err
		}
		given = append(given, name)
	}
	slices.Sort(given)
	a.Status.DefaultRules = given
	return nil
}

// defaultsFor returns the default rules for a company.
func (r *companyActivationReconciler) defaultsFor(ctx context.Context, a *v1alpha1.CompanyActivation) ([]v1alpha1.NotificationRule, error) {
	if r.namespace == "" {
		return r.defaultRules, nil
	}
	var templates v1alpha1.NotificationTemplateList
	// Read once per company, bypassing the cache: a template may have been applied just
	// before.
	if err := r.apiReader.List(ctx, &templates, client.InNamespace(r.namespace)); err != nil {
		return nil, fmt.Errorf("listing the NotificationTemplates: %w", err)
	}
	rules := slices.DeleteFunc(slices.Clone(r.defaultRules), func(rule v1alpha1.NotificationRule) bool {
		return slices.ContainsFunc(templates.Items, func(t v1alpha1.NotificationTemplate) bool { return t.Name == rule.Name })
	})
	for i := range templates.Items {
		if t := &templates.Items[i]; t.Spec.Default && t.DeletionTimestamp.IsZero() {
			rule := v1alpha1.NotificationRule{Spec: t.RuleSpec(a.Name)}
			rule.Name, rule.Labels = t.Name, map[string]string{DefaultRulesLabel: t.Name}
			rules = append(rules, rule)
		}
	}
	return rules, nil
}

// createDefaultRule creates a company's copy of a default rule.
func (r *companyActivationReconciler) createDefaultRule(ctx context.Context, s *scope, name string, original *v1alpha1.NotificationRule) error {
	if _, ok := s.rules[name]; ok {
		return nil
	}
	a := s.activation
	rule := original.DeepCopy()
	rule.Name, rule.Namespace = name, a.Namespace
	rule.Spec.CompanyRef.Name = a.Name
	switch err := r.Create(ctx, rule); {
	case apierrors.IsAlreadyExists(err):
		return nil
	case err != nil:
		return fmt.Errorf("creating the default rule %s: %w", name, err)
	}
	s.want(rule)
	r.memory.with(a, func(entry *remembered) {
		if entry.given == nil {
			entry.given = make(map[string]struct{})
		}
		entry.given[name] = struct{}{}
	})
	return nil
}

// platformSays returns the platform's message as a sentence.
func platformSays(err error) string {
	var platform *rehive.Error
	if errors.As(err, &platform) && platform.Message != "" {
		return sentence(platform.Message)
	}
	return sentence(err.Error())
}
