// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

// scope is where a command looks.
type scope struct {
	config    *rest.Config
	client    client.Client
	namespace string // empty for all
}

// clusterFlags adds kubectl's flags to a command. The function that it returns connects to
// the cluster.
func (o *options) clusterFlags(command *cobra.Command) func() (*scope, error) {
	var all bool
	o.cluster.AddFlags(command.Flags())
	command.Flags().BoolVarP(&all, "all-namespaces", "A", false, "look in all namespaces")
	return func() (*scope, error) {
		config, err := o.cluster.ToRESTConfig()
		if err != nil {
			return nil, fmt.Errorf("reading the kubeconfig: %w", err)
		}
		scheme := runtime.NewScheme()
		for _, add := range []func(*runtime.Scheme) error{v1alpha1.AddToScheme, appsv1.AddToScheme, admissionregistrationv1.AddToScheme} {
			if err := add(scheme); err != nil {
				return nil, fmt.Errorf("registering kinds: %w", err)
			}
		}
		c, err := client.New(config, client.Options{Scheme: scheme})
		if err != nil {
			return nil, fmt.Errorf("connecting to the cluster: %w", err)
		}
		s := &scope{config: config, client: c}
		if !all {
			if s.namespace, _, err = o.cluster.ToRawKubeConfigLoader().Namespace(); err != nil {
				return nil, fmt.Errorf("reading the kubeconfig: %w", err)
			}
		}
		return s, nil
	}
}

// Values of item.State.
const (
	stateOK      = "ok"
	stateWarning = "warning" // it works, and something is probably a mistake
	stateWaiting = "waiting" // it does not work yet; nobody must act
	stateFailed  = "failed"  // it does not work, and somebody must act
)

// item is one object and whether it works.
type item struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	State     string `json:"state"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`

	// QuotaUse and NextTokenRotation are those of a CompanyActivation; see its status.
	QuotaUse          string       `json:"quotaUse,omitempty"`
	NextTokenRotation *metav1.Time `json:"nextTokenRotation,omitempty"`
	quotaShare        float64      // the largest used share of a quota
}

// works reports whether the object does what it is for.
func (i *item) works() bool { return i.State == stateOK || i.State == stateWarning }

// operatorLabels are those of the operator's own objects.
var operatorLabels = client.MatchingLabels{"app.kubernetes.io/name": "rehive-extension-operator"}

func labelSelector(match client.MatchingLabels) string { return labels.Set(match).String() }

// look returns the state of everything in the scope. Kinds that the user may not list are
// returned as items with the state waiting.
func (s *scope) look(ctx context.Context) ([]item, error) {
	var items []item
	for _, list := range []func(context.Context) ([]item, error){s.deployments, s.admission, s.objects} {
		found, err := list(ctx)
		if err != nil {
			return nil, err
		}
		items = append(items, found...)
	}
	return items, nil
}

func (s *scope) deployments(ctx context.Context) ([]item, error) {
	var list appsv1.DeploymentList
	err := s.client.List(ctx, &list, client.InNamespace(s.namespace), operatorLabels)
	switch {
	case apierrors.IsForbidden(err):
		return []item{{Kind: "Deployment", Namespace: s.namespace, Name: "*", State: stateWarning, Reason: "Forbidden", Message: "You may not list Deployments, so whether the operator runs is unknown."}}, nil
	case err != nil:
		return nil, fmt.Errorf("listing Deployments: %w", err)
	case len(list.Items) == 0:
		where := "in any namespace"
		if s.namespace != "" {
			where = "in the namespace " + s.namespace
		}
		return []item{{Kind: "Deployment", Namespace: s.namespace, Name: "*", State: stateFailed, Reason: "NotInstalled", Message: "No operator is installed " + where + ": choose its namespace with -n, or look in all with -A."}}, nil
	}
	var items []item
	for i := range list.Items {
		d := &list.Items[i]
		wanted := int32(1)
		if d.Spec.Replicas != nil {
			wanted = *d.Spec.Replicas
		}
		it := item{Kind: "Deployment", Namespace: d.Namespace, Name: d.Name, State: stateOK, Reason: "Available",
			Message: fmt.Sprintf("%d of %d replicas are available, version %s.", d.Status.AvailableReplicas, wanted, d.Labels["app.kubernetes.io/version"])}
		switch {
		case wanted == 0:
			it.State, it.Reason, it.Message = stateFailed, "ScaledToZero", "The operator is scaled to 0 replicas."
		case d.Status.ObservedGeneration < d.Generation || d.Status.AvailableReplicas < wanted || d.Status.UpdatedReplicas < wanted:
			it.State, it.Reason = stateWaiting, "Unavailable"
			it.Message += fmt.Sprintf(" See kubectl -n %s describe pods -l app.kubernetes.io/component=manager, and the log.", d.Namespace)
		}
		items = append(items, it)
	}
	return items, nil
}

func (s *scope) admission(ctx context.Context) ([]item, error) {
	const kind = "ValidatingWebhookConfiguration"
	var list admissionregistrationv1.ValidatingWebhookConfigurationList
	err := s.client.List(ctx, &list, operatorLabels)
	switch {
	case apierrors.IsForbidden(err):
		return nil, nil // most users may not, and nothing depends on it
	case err != nil:
		return nil, fmt.Errorf("listing ValidatingWebhookConfigurations: %w", err)
	}
	var items []item
	for i := range list.Items {
		c := &list.Items[i]
		for k := range c.Webhooks {
			at := &c.Webhooks[k].ClientConfig
			if at.Service != nil && s.namespace != "" && at.Service.Namespace != s.namespace {
				continue
			}
			it := item{Kind: kind, Name: c.Name, State: stateOK, Reason: "Configured", Message: "The API server asks the operator about rules, layouts and templates."}
			if len(at.CABundle) == 0 {
				it.State, it.Reason = stateWaiting, "NoCertificate"
				it.Message = "The operator has not set its certificate yet: rules, layouts and templates are accepted unchecked. Its log says why."
			}
			items = append(items, it)
		}
	}
	return items, nil
}

// objects returns the state of the operator's own kinds.
func (s *scope) objects(ctx context.Context) ([]item, error) {
	var items []item
	for _, list := range []client.ObjectList{&v1alpha1.CompanyActivationList{}, &v1alpha1.DeliveryProviderList{}, &v1alpha1.NotificationRuleList{}, &v1alpha1.NotificationLayoutList{}} {
		kind, err := s.client.GroupVersionKindFor(list)
		if err != nil {
			return nil, fmt.Errorf("finding a kind: %w", err)
		}
		name := kind.Kind[:len(kind.Kind)-len("List")]
		err = s.client.List(ctx, list, client.InNamespace(s.namespace))
		switch {
		case apierrors.IsForbidden(err):
			items = append(items, item{Kind: name, Namespace: s.namespace, Name: "*", State: stateWarning, Reason: "Forbidden", Message: "You may not list objects of this kind."})
			continue
		case meta.IsNoMatchError(err):
			items = append(items, item{Kind: name, Name: "*", State: stateFailed, Reason: "NotInstalled", Message: "The cluster does not have this kind: apply config/crd."})
			continue
		case err != nil:
			return nil, fmt.Errorf("listing %ss: %w", name, err)
		}
		if err := meta.EachListItem(list, func(o runtime.Object) error {
			items = append(items, stateOf(name, o.(object)))
			return nil
		}); err != nil {
			return nil, fmt.Errorf("reading %ss: %w", name, err)
		}
	}
	return items, nil
}

// object is an object with conditions.
type object interface {
	client.Object
	GetConditions() []metav1.Condition
}

// stateOf reads an object's conditions.
func stateOf(kind string, o object) item {
	it := item{Kind: kind, Namespace: o.GetNamespace(), Name: o.GetName()}
	conditions := o.GetConditions()
	ready := meta.FindStatusCondition(conditions, v1alpha1.ReadyCondition)
	if ready == nil || ready.ObservedGeneration != 0 && ready.ObservedGeneration != o.GetGeneration() {
		it.State, it.Reason, it.Message = stateWaiting, "Pending", "The operator has not processed it yet."
		return it
	}
	it.Reason, it.Message = ready.Reason, ready.Message
	tests := meta.FindStatusCondition(conditions, v1alpha1.TestsPassedCondition)
	warnings := meta.FindStatusCondition(conditions, v1alpha1.WarningsCondition)
	switch {
	case ready.Status != metav1.ConditionTrue && meta.IsStatusConditionTrue(conditions, v1alpha1.StalledCondition):
		it.State = stateFailed
	case ready.Status != metav1.ConditionTrue:
		it.State = stateWaiting
	case tests != nil && tests.Status == metav1.ConditionFalse:
		it.State, it.Reason, it.Message = stateFailed, tests.Reason, tests.Message
	case warnings != nil && warnings.Status == metav1.ConditionTrue:
		it.State, it.Reason, it.Message = stateWarning, warnings.Reason, warnings.Message
	case ready.Reason == v1alpha1.MutedReason:
		it.State = stateWarning
	default:
		it.State = stateOK
	}
	if a, ok := o.(*v1alpha1.CompanyActivation); ok {
		it.addUse(a, time.Now())
	}
	return it
}

const (
	// quotaWarning is the used share of a quota from which on status warns.
	quotaWarning = 0.9
	// rotationGrace is how late a rotation may be before status warns.
	rotationGrace = 24 * time.Hour
)

// addUse adds the use of quotas and the expected rotation of the token to the state of a
// company, and turns it into a warning if either deserves attention.
func (i *item) addUse(a *v1alpha1.CompanyActivation, now time.Time) {
	activity := &a.Status.Activity
	if at := activity.ObservedTime; at != nil && at.UTC().Truncate(24*time.Hour).Equal(now.UTC().Truncate(24*time.Hour)) {
		i.QuotaUse = activity.QuotaUse
		for k := range activity.Charged {
			if one := &activity.Charged[k]; one.Limit != nil {
				i.quotaShare = max(i.quotaShare, float64(one.Messages)/float64(max(*one.Limit, 1)))
			}
		}
	}
	i.NextTokenRotation = a.Status.Token.NextRotationTime
	if i.State != stateOK || !a.IsActive() {
		return
	}
	switch next := i.NextTokenRotation; {
	case i.quotaShare >= 1:
		i.State, i.Reason = stateWarning, "QuotaExceeded"
		i.Message = fmt.Sprintf("A quota of today is used up (%s). Further messages on its channel fail until midnight UTC; raise spec.quotas or the operator's --quotas.", i.QuotaUse)
	case i.quotaShare >= quotaWarning:
		i.State, i.Reason = stateWarning, "QuotaNearlyUsed"
		i.Message = fmt.Sprintf("A quota of today is nearly used up (%s).", i.QuotaUse)
	case next != nil && now.Sub(next.Time) > rotationGrace:
		i.State, i.Reason = stateWarning, "RotationOverdue"
		i.Message = fmt.Sprintf("Rehive was expected to replace the token at %s and has not called %s.", next.UTC().Format(time.RFC3339), "/api/rotate/")
	}
}
