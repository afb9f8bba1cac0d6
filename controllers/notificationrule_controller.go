// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/notify"
)

const (
	fieldExpression = "spec.expression"

	// Limits of status.variables.
	maxVariables      = 256
	maxVariableLength = 256
)

// +kubebuilder:rbac:namespace=system,groups=extensions.rehive.com,resources=notificationrules/status,verbs=patch

// notificationRuleReconciler tells in a rule's status whether it parses and
// whether its company is there. It changes nothing else.
type notificationRuleReconciler struct {
	client.Client
	recorder events.EventRecorder
}

func (r *notificationRuleReconciler) setupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("notificationrule").
		For(&v1alpha1.NotificationRule{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.CompanyActivation{}, handler.EnqueueRequestsFromMapFunc(r.rulesOfActivation),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
				before, ok := e.ObjectOld.(*v1alpha1.CompanyActivation)
				after, also := e.ObjectNew.(*v1alpha1.CompanyActivation)
				return ok && also && !slices.Equal(before.Status.UnknownEvents, after.Status.UnknownEvents)
			}})).
		Watches(&v1alpha1.NotificationLayout{}, handler.EnqueueRequestsFromMapFunc(r.rulesOfLayout),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WithOptions(controllerOptions(concurrentRules)).
		Complete(r)
}

func (r *notificationRuleReconciler) rulesOfActivation(ctx context.Context, o client.Object) []reconcile.Request {
	return r.rulesOf(ctx, o, RuleActivationField)
}

func (r *notificationRuleReconciler) rulesOfLayout(ctx context.Context, o client.Object) []reconcile.Request {
	return r.rulesOf(ctx, o, RuleLayoutField)
}

// rulesOf maps an object to the rules of its namespace that name it in a field.
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
func (r *notificationRuleReconciler) Reconcile(ctx context.Context, request reconcile.Request) (ctrl.Result, error) {
	rule := new(v1alpha1.NotificationRule)
	if err := r.Get(ctx, request.NamespacedName, rule); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !rule.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	a := new(v1alpha1.CompanyActivation)
	switch err := r.Get(ctx, client.ObjectKey{Namespace: rule.Namespace, Name: rule.Spec.CompanyRef.Name}, a); {
	case apierrors.IsNotFound(err):
		a = nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("reading the CompanyActivation of spec.companyRef: %w", err)
	}

	layout, verdict, err := r.layout(ctx, rule)
	if err != nil {
		return ctrl.Result{}, err
	}

	before := rule.DeepCopy()
	compiled, problems := notify.Compile(rule)
	if compiled != nil && layout != nil {
		compiled = compiled.WithLayout(layout)
	}
	judgeRule(rule, a, compiled, problems, verdict)
	if err := patchStatus(ctx, r.Client, before, rule, before.Status, rule.Status); err != nil {
		return ctrl.Result{}, err
	}
	r.tell(before, rule)
	return ctrl.Result{}, nil
}

// layoutVerdict is what is wrong with a rule's layout; zero if nothing is.
type layoutVerdict struct{ reason, message string }

// layout returns the layout that a rule names, compiled; nil if it names none or
// none that can be used.
func (r *notificationRuleReconciler) layout(ctx context.Context, rule *v1alpha1.NotificationRule) (*notify.Layout, layoutVerdict, error) {
	name := rule.Spec.Layout()
	if name == "" {
		return nil, layoutVerdict{}, nil
	}
	path := "spec." + string(rule.Spec.Channel()) + ".layoutRef"
	layout := new(v1alpha1.NotificationLayout)
	switch err := r.Get(ctx, client.ObjectKey{Namespace: rule.Namespace, Name: name}, layout); {
	case apierrors.IsNotFound(err):
		return nil, layoutVerdict{v1alpha1.LayoutNotFoundReason,
			fmt.Sprintf("%s names the NotificationLayout %s, which does not exist in this namespace.", path, name)}, nil
	case err != nil:
		return nil, layoutVerdict{}, fmt.Errorf("reading the NotificationLayout of %s: %w", path, err)
	}
	if misfit := notify.LayoutMisfit(rule, layout); misfit != "" {
		return nil, layoutVerdict{v1alpha1.LayoutInvalidReason, fullStop(misfit)}, nil
	}
	compiled, problems := notify.CompileLayout(layout)
	if len(problems) > 0 {
		return nil, layoutVerdict{v1alpha1.LayoutInvalidReason,
			fmt.Sprintf("%s: the NotificationLayout %s can't be used: %s", path, name, fullStop(problems.Error()))}, nil
	}
	return compiled, layoutVerdict{}, nil
}

// judgeRule sets the status of a rule, given its activation, nil when there is
// none, and what came of compiling it and its layout.
func judgeRule(rule *v1alpha1.NotificationRule, a *v1alpha1.CompanyActivation, compiled *notify.Rule, problems notify.Problems, layout layoutVerdict) {
	rule.Status.ObservedGeneration = rule.Generation
	rule.Status.Variables = nil
	if compiled != nil {
		rule.Status.Variables = variables(compiled)
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

	removeCondition(rule, v1alpha1.StalledCondition)
	switch {
	case len(problems) > 0:
		message := fullStop(problems.Error())
		setCondition(rule, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.SyntaxErrorReason, message)
		setCondition(rule, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.SyntaxErrorReason, message)
	case layout.reason != "":
		setCondition(rule, v1alpha1.ReadyCondition, metav1.ConditionFalse, layout.reason, layout.message)
	case a == nil:
		setCondition(rule, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.CompanyActivationNotFoundReason,
			fmt.Sprintf("spec.companyRef names the CompanyActivation %s, which does not exist in this namespace.", rule.Spec.CompanyRef.Name))
	case !rule.IsEnabled():
		setCondition(rule, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.DisabledReason,
			"The rule is valid, but spec.enabled is false: events don't match it.")
	case slices.Contains(a.Status.UnknownEvents, rule.Spec.Event):
		message := fmt.Sprintf("spec.event: Rehive knows no event %s.", rule.Spec.Event)
		setCondition(rule, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.UnknownEventReason, message)
		setCondition(rule, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.UnknownEventReason, message)
	default:
		setCondition(rule, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ValidReason, "The rule is in force.")
	}
}

func judgeParts(rule *v1alpha1.NotificationRule, kind string, problems notify.Problems, parsed string) {
	if len(problems) > 0 {
		setCondition(rule, kind, metav1.ConditionFalse, v1alpha1.SyntaxErrorReason, fullStop(problems.Error()))
		return
	}
	setCondition(rule, kind, metav1.ConditionTrue, v1alpha1.ParsedReason, parsed)
}

// variables returns what a rule reads, within the limits of the status.
func variables(compiled *notify.Rule) []string {
	all := slices.DeleteFunc(slices.Clone(compiled.Variables()), func(v string) bool { return len(v) > maxVariableLength })
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), maxVariables)]
}

// tell records an event when a rule becomes faulty, or faulty in another way.
func (r *notificationRuleReconciler) tell(before, rule *v1alpha1.NotificationRule) {
	was, is := readyMessage(before), readyMessage(rule)
	switch reason := conditionReason(rule, v1alpha1.ReadyCondition); reason {
	case v1alpha1.SyntaxErrorReason, v1alpha1.UnknownEventReason, v1alpha1.LayoutInvalidReason:
		if was != is {
			r.recorder.Eventf(rule, nil, corev1.EventTypeWarning, "InvalidRule", "Compiling", "%s", shorten(is, maxNoteRunes))
		}
	}
}

func readyMessage(o conditioned) string {
	var b strings.Builder
	for _, condition := range o.GetConditions() {
		if condition.Type == v1alpha1.ReadyCondition {
			b.WriteString(condition.Message)
		}
	}
	return b.String()
}
