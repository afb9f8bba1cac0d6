// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/check"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/ruletest"
)

const (
	fieldExpression = "spec.expression"

	// Limits of status.variables.
	maxVariables      = 256
	maxVariableLength = 256
)

// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=notificationrules/status,verbs=patch

// notificationRuleReconciler reports in the status of a rule whether it parses and
// whether it can take effect. It changes nothing else.
type notificationRuleReconciler struct {
	client.Client
	reporter   reporter
	namespaces activation.Namespaces
	// served are the channels of companies without a DeliveryProvider of their own, and defaults
	// the DeliveryProviders that serve them; the others need none.
	served   []v1alpha1.Channel
	defaults map[v1alpha1.Channel]types.NamespacedName
	now      func() time.Time
}

var (
	readyReasonChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(conditioned)
		after, also := e.ObjectNew.(conditioned)
		return ok && also && conditionReason(before, v1alpha1.ReadyCondition) != conditionReason(after, v1alpha1.ReadyCondition)
	}}
	unknownEventsChanged = predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.CompanyActivation)
		after, also := e.ObjectNew.(*v1alpha1.CompanyActivation)
		return ok && also && !slices.Equal(before.Status.UnknownEvents, after.Status.UnknownEvents)
	}}
)

func (r *notificationRuleReconciler) setupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("notificationrule").
		// A rule is reconciled again when its verdict appears in the cache: until then, a
		// reconciliation may compare with an older verdict and find nothing to write.
		For(&v1alpha1.NotificationRule{}, builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, readyReasonChanged))).
		Watches(&v1alpha1.CompanyActivation{}, handler.EnqueueRequestsFromMapFunc(r.rulesOfActivation),
			builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, readyReasonChanged, unknownEventsChanged))).
		Watches(&v1alpha1.NotificationLayout{}, handler.EnqueueRequestsFromMapFunc(r.rulesOfLayout),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.DeliveryProvider{}, handler.EnqueueRequestsFromMapFunc(r.rulesOfProvider),
			builder.WithPredicates(r.providerFaultChanged())).
		WithOptions(controllerOptions(concurrentRules)).
		Complete(r)
}

func (r *notificationRuleReconciler) rulesOfActivation(ctx context.Context, o client.Object) []reconcile.Request {
	return r.rulesOf(ctx, o, RuleActivationField)
}

func (r *notificationRuleReconciler) rulesOfLayout(ctx context.Context, o client.Object) []reconcile.Request {
	return r.rulesOf(ctx, o, RuleLayoutField)
}

// rulesOf maps an object to the rules in its namespace that name it in a field.
func (r *notificationRuleReconciler) rulesOf(ctx context.Context, o client.Object, field string) []reconcile.Request {
	var list v1alpha1.NotificationRuleList
	if err := r.List(ctx, &list, client.InNamespace(o.GetNamespace()), client.MatchingFields{field: o.GetName()}, client.UnsafeDisableDeepCopy); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing the NotificationRules that name an object failed", "field", field)
		return nil
	}
	requests := make([]reconcile.Request, len(list.Items))
	for i := range list.Items {
		requests[i].NamespacedName = client.ObjectKeyFromObject(&list.Items[i])
	}
	return requests
}

// Reconcile writes the status of one rule.
func (r *notificationRuleReconciler) Reconcile(ctx context.Context, request reconcile.Request) (result ctrl.Result, err error) {
	rule := new(v1alpha1.NotificationRule)
	if err := r.Get(ctx, request.NamespacedName, rule); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if r.reporter.isStale(rule) {
		return ctrl.Result{RequeueAfter: cacheDelay}, nil
	}
	if !rule.DeletionTimestamp.IsZero() {
		if len(rule.Finalizers) == 0 {
			return ctrl.Result{}, nil
		}
		return r.reporter.reportDeletionPending(ctx, rule, func() { rule.Status.ObservedGeneration = rule.Generation }, "no event matches this rule")
	}
	company, err := r.companyState(ctx, rule)
	if err != nil {
		return ctrl.Result{}, err
	}
	layout, err := r.layout(ctx, rule)
	if err != nil {
		return ctrl.Result{}, err
	}
	report := r.reporter.begin(rule)
	defer func() { result, err = report.finish(ctx, result, err) }()

	checked := check.Rule(ctx, rule, layout, notify.CompileLayout)
	own := len(checked.Problems)
	if err := checked.Fallback(rule, func(name string) (*v1alpha1.NotificationRule, error) { return r.rule(ctx, rule.Namespace, name) }); err != nil {
		return ctrl.Result{}, err
	}
	// The rule itself works, and its fallbacks end with the first mistake.
	checked.Warnings = append(checked.Warnings, checked.Problems[own:]...)
	now := r.now()
	judgeRule(rule, company, &checked.Compiled, now)
	if until := checked.Compiled.MutedUntil; until.After(now) {
		// Messages are sent again by then in any case: this is for the condition.
		result.RequeueAfter = until.Sub(now)
	}
	setWarnings(rule, checked.Warnings)
	setTests(rule, checked)
	if conditionReason(rule, v1alpha1.TestsPassedCondition) == v1alpha1.TestsFailedReason {
		if message := conditionMessage(rule, v1alpha1.TestsPassedCondition); message != conditionMessage(report.before, v1alpha1.TestsPassedCondition) {
			report.note(corev1.EventTypeWarning, "TestsFailed", "Testing", message)
		}
	}
	switch reason := conditionReason(rule, v1alpha1.ReadyCondition); reason {
	case v1alpha1.SyntaxErrorReason, v1alpha1.UnknownEventReason, v1alpha1.LayoutInvalidReason:
		// It became invalid, or the error changed.
		if message := conditionMessage(rule, v1alpha1.ReadyCondition); message != conditionMessage(report.before, v1alpha1.ReadyCondition) {
			report.note(corev1.EventTypeWarning, "InvalidRule", "Compiling", message)
		}
	}
	return result, nil
}

// rule returns a rule; nil if it doesn't exist.
func (r *notificationRuleReconciler) rule(ctx context.Context, namespace, name string) (*v1alpha1.NotificationRule, error) {
	rule := new(v1alpha1.NotificationRule)
	switch err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, rule, client.UnsafeDisableDeepCopy); {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // documented above
	case err != nil:
		return nil, fmt.Errorf("reading the NotificationRule of spec.fallback: %w", err)
	}
	return rule, nil
}

// companyState describes how the state of a rule's company affects the rule.
type companyState struct {
	// problem is why the rule does not match any event; its reason is empty if there is
	// none.
	problem ruleProblem
	// inactive is why the activation can't receive events although the company is active.
	inactive ruleProblem
	// unknownEvents are the events that the platform does not know.
	unknownEvents []string
}

// ruleProblem is why a rule cannot take effect; its reason is empty if it can.
type ruleProblem struct {
	reason, message string
	stalled         bool // a person must act
}

// companyState determines how the activation that a rule names affects the rule.
func (r *notificationRuleReconciler) companyState(ctx context.Context, rule *v1alpha1.NotificationRule) (companyState, error) {
	a, name := new(v1alpha1.CompanyActivation), rule.Spec.CompanyRef.Name
	problem := func(reason string, stalled bool, format string, args ...any) (companyState, error) {
		return companyState{problem: ruleProblem{reason, fmt.Sprintf(format, args...), stalled}}, nil
	}
	switch err := r.Get(ctx, client.ObjectKey{Namespace: rule.Namespace, Name: name}, a, client.UnsafeDisableDeepCopy); {
	case apierrors.IsNotFound(err):
		return problem(v1alpha1.CompanyActivationNotFoundReason, false,
			"spec.companyRef names the CompanyActivation %s, which does not exist in this namespace.", name)
	case err != nil:
		return companyState{}, fmt.Errorf("reading the CompanyActivation of spec.companyRef: %w", err)
	case !a.DeletionTimestamp.IsZero():
		return problem(v1alpha1.CompanyActivationNotFoundReason, false,
			"spec.companyRef names the CompanyActivation %s, which is being deleted.", name)
	case !r.namespaces.Allows(a.Namespace, a.Spec.Company):
		return problem(v1alpha1.NamespaceNotAllowedReason, true,
			"No event matches this rule: the namespace %s may not hold the company %s. Move the rule, or allow the namespace with the operator's flag %s.",
			a.Namespace, a.Spec.Company, activation.NamespacesFlag)
	}
	holder, err := r.namespaces.Holder(ctx, r.Client, a.Spec.Company)
	switch {
	case err != nil:
		return companyState{}, err
	case holder != nil && holder.UID != a.UID && activation.Older(holder, a):
		return problem(v1alpha1.DuplicateCompanyReason, true,
			"No event matches this rule: the CompanyActivation %s is not the one that holds the company. Find it with: kubectl get companyactivations --all-namespaces --field-selector spec.company=%s.",
			name, a.Spec.Company)
	case !a.IsActive():
		return problem(v1alpha1.InactiveReason, false, "No event matches this rule: the company of the CompanyActivation %s is inactive.", name)
	}
	unsendable, err := r.providerProblem(ctx, a, rule.Spec.Channel())
	if err != nil || unsendable.reason != "" {
		return companyState{problem: unsendable}, err
	}
	state := companyState{unknownEvents: a.Status.UnknownEvents}
	switch reason := conditionReason(a, v1alpha1.ReadyCondition); reason {
	case "", v1alpha1.AwaitingActivationReason:
		state.inactive = ruleProblem{v1alpha1.AwaitingActivationReason, "The rule is valid, but no event matches it until Rehive has activated this extension for the company.", false}
	case v1alpha1.SecretMissingReason, v1alpha1.SecretUnusableReason:
		state.inactive = ruleProblem{reason, fmt.Sprintf("The rule is valid, but not in effect while the CompanyActivation %s isn't ready: %s", name, conditionMessage(a, v1alpha1.ReadyCondition)), true}
	}
	return state, nil
}

// layout returns the layout that a rule names, nil if it names none or one that does not
// exist.
func (r *notificationRuleReconciler) layout(ctx context.Context, rule *v1alpha1.NotificationRule) (*v1alpha1.NotificationLayout, error) {
	name := rule.Spec.Layout()
	if name == "" {
		return nil, nil //nolint:nilnil // documented above
	}
	layout := new(v1alpha1.NotificationLayout)
	switch err := r.Get(ctx, client.ObjectKey{Namespace: rule.Namespace, Name: name}, layout); {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // documented above
	case err != nil:
		return nil, fmt.Errorf("reading the NotificationLayout of spec.%s.layoutRef: %w", rule.Spec.Channel(), err)
	}
	return layout, nil
}

// layoutProblem returns why a rule can't use its layout; its reason is empty if it can.
func layoutProblem(p *notify.LayoutProblem) ruleProblem {
	switch {
	case p == nil:
		return ruleProblem{}
	case p.Missing:
		return ruleProblem{v1alpha1.LayoutNotFoundReason, notify.Sentence(p.Error()), false}
	}
	return ruleProblem{v1alpha1.LayoutInvalidReason, notify.Sentence(p.Error()), false}
}

// judgeRule sets the status of a rule according to the state of its company and the
// outcome of compiling it and its layout.
func judgeRule(rule *v1alpha1.NotificationRule, company companyState, compiled *notify.Compiled, now time.Time) {
	problems, layout := compiled.Problems, layoutProblem(compiled.LayoutProblem)
	rule.Status.ObservedGeneration = rule.Generation
	rule.Status.Variables = nil
	if compiled.Rule != nil {
		rule.Status.Variables = variables(compiled.Rule)
	}

	var inTemplates, inExpression notify.Problems
	for _, problem := range problems {
		if problem.Field == fieldExpression {
			inExpression = append(inExpression, problem)
		} else {
			inTemplates = append(inTemplates, problem)
		}
	}
	judgeParts(rule, v1alpha1.TemplatesParsedCondition, inTemplates, "All templates parse.")
	parsed := "The expression parses."
	if rule.Spec.Expression == "" {
		parsed = "There is no expression: the message is sent for each event."
	}
	judgeParts(rule, v1alpha1.ExpressionParsedCondition, inExpression, parsed)

	not := func(p ruleProblem) {
		setReady(rule, verdict{metav1.ConditionFalse, p.reason, p.message}, p.stalled)
	}
	is := func(reason, message string) {
		setReady(rule, verdict{metav1.ConditionTrue, reason, message}, false)
	}
	switch {
	case len(problems) > 0:
		not(ruleProblem{v1alpha1.SyntaxErrorReason, notify.Sentence(problems.Error()), true})
	case layout.reason != "":
		not(layout)
	case company.problem.reason == v1alpha1.CompanyActivationNotFoundReason:
		not(company.problem)
	case !rule.IsEnabled():
		is(v1alpha1.DisabledReason, "The rule is valid, but spec.enabled is false, so it does not match any event.")
	case company.problem.reason != "":
		not(company.problem)
	case rule.Spec.Event == "":
		not(ruleProblem{v1alpha1.NoEventReason, "Nothing triggers this rule: spec.event is empty.", false})
	case slices.Contains(company.unknownEvents, rule.Spec.Event):
		not(ruleProblem{v1alpha1.UnknownEventReason, fmt.Sprintf("spec.event: Rehive does not know the event %s.", rule.Spec.Event), true})
	case compiled.MutedUntil.After(now):
		is(v1alpha1.MutedReason, "The rule is valid, but muted: "+notify.Sentence(compiled.Muted))
	case company.inactive.reason != "":
		not(company.inactive)
	default:
		is(v1alpha1.ValidReason, "The rule is in effect.")
	}
}

// setTests sets the condition for the tests of a rule, or removes it if it has none. Tests of
// a rule that does not work were not run.
func setTests(rule *v1alpha1.NotificationRule, checked *check.Report) {
	result := &checked.Tests
	switch {
	case result.Tests == 0:
		removeCondition(rule, v1alpha1.TestsPassedCondition)
	case len(result.Failures) > 0:
		set(rule, v1alpha1.TestsPassedCondition, verdict{metav1.ConditionFalse, v1alpha1.TestsFailedReason, notify.Sentence(checked.FailedTests().Error())})
	case result.Unfinished:
		set(rule, v1alpha1.TestsPassedCondition, verdict{metav1.ConditionUnknown, v1alpha1.TestsUnfinishedReason, fmt.Sprintf("The tests take longer than %s and were not all run.", ruletest.Timeout)})
	default:
		set(rule, v1alpha1.TestsPassedCondition, verdict{metav1.ConditionTrue, v1alpha1.PassedReason, fmt.Sprintf("All tests pass: %d.", result.Tests)})
	}
}

func removeCondition(o conditioned, kind string) {
	conditions := o.GetConditions()
	meta.RemoveStatusCondition(&conditions, kind)
	o.SetConditions(conditions)
}

// setWarnings sets the condition for probable mistakes in a valid rule, or removes it.
func setWarnings(rule *v1alpha1.NotificationRule, warnings notify.Problems) {
	if len(warnings) == 0 {
		removeCondition(rule, v1alpha1.WarningsCondition)
		return
	}
	set(rule, v1alpha1.WarningsCondition, verdict{metav1.ConditionTrue, v1alpha1.ProbableMistakesReason, notify.Sentence(warnings.Error())})
}

func judgeParts(rule *v1alpha1.NotificationRule, kind string, problems notify.Problems, parsed string) {
	if len(problems) > 0 {
		set(rule, kind, verdict{metav1.ConditionFalse, v1alpha1.SyntaxErrorReason, notify.Sentence(problems.Error())})
		return
	}
	set(rule, kind, verdict{metav1.ConditionTrue, v1alpha1.ParsedReason, parsed})
}

// variables returns the variables that a rule reads, within the limits of the status.
func variables(compiled *notify.Rule) []string {
	all := slices.DeleteFunc(slices.Clone(compiled.Variables()), func(v string) bool { return len(v) > maxVariableLength })
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), maxVariables)]
}
