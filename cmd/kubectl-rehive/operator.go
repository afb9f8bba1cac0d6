// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/clusterapi"
)

const (
	// tokenLifetime is that of a service account's token: the shortest that Kubernetes
	// issues.
	tokenLifetime = 10 * time.Minute
	// callTimeout bounds one call to the operator.
	callTimeout = time.Minute
	// maxTargets is how many companies one command asks about.
	maxTargets = 50
	// cliLabel marks the service accounts, with the value viewer or editor.
	cliLabel = "extensions.rehive.com/cli"
)

// operator calls a running operator through the API server's proxy of Services, with tokens
// of a service account that the user may request. See internal/clusterapi.
type operator struct {
	scope *scope
	kube  kubernetes.Interface
	// namespace and service are where the operator runs; a service is looked for if it is
	// empty.
	namespace, service string
	// account is the service account; if it is empty, the manifests' are looked for.
	account string
	// user is the name that the API server knows the user by, for the operator's log.
	user   string
	tokens map[string]*authenticationv1.TokenRequestStatus // by namespace/name
}

// operatorFlags adds the flags of commands that call the operator, with those of
// clusterFlags.
func (o *options) operatorFlags(command *cobra.Command) func(context.Context) (*operator, error) {
	connect := o.clusterFlags(command)
	op := &operator{tokens: make(map[string]*authenticationv1.TokenRequestStatus)}
	command.Flags().StringVar(&op.namespace, "operator-namespace", "rehive-system", "namespace that the operator runs in")
	command.Flags().StringVar(&op.service, "operator-service", "", "Service of the operator's admission webhook (default: the one with the operator's labels)")
	command.Flags().StringVar(&op.account, "service-account", "", "service account in the company's namespace to call the operator as (default: the one of the manifests)")
	return func(ctx context.Context) (*operator, error) {
		s, err := connect()
		if err != nil {
			return nil, err
		}
		op.scope = s
		if op.kube, err = kubernetes.NewForConfig(s.config); err != nil {
			return nil, fmt.Errorf("connecting to the cluster: %w", err)
		}
		if op.service == "" {
			op.service = op.findService(ctx)
		}
		review, err := op.kube.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err == nil {
			op.user = review.Status.UserInfo.Username
		}
		return op, nil
	}
}

// companyFlags adds the flags of commands that ask the operator about one company, and returns
// a function that connects to it and finds the company's activation.
func (o *options) companyFlags(command *cobra.Command) func(context.Context) (*operator, clusterapi.Target, error) {
	connect := o.operatorFlags(command)
	var company string
	command.Flags().StringVar(&company, "company", "", "the company, if the namespace has several")
	return func(ctx context.Context) (*operator, clusterapi.Target, error) {
		op, err := connect(ctx)
		if err != nil {
			return nil, clusterapi.Target{}, err
		}
		target, err := op.target(ctx, company)
		return op, target, err
	}
}

// findService returns the operator's Service: by its labels or, if the user may not list
// Services, by the name that it has in the manifests.
func (op *operator) findService(ctx context.Context) string {
	list, err := op.kube.CoreV1().Services(op.namespace).List(ctx, metav1.ListOptions{LabelSelector: labelSelector(operatorLabels)})
	if err == nil {
		for i := range list.Items {
			for _, port := range list.Items[i].Spec.Ports {
				if port.Name == clusterapi.Port {
					return list.Items[i].Name
				}
			}
		}
	}
	return clusterapi.Service
}

// findAccount returns the service account for an operation in a namespace, as findService
// does.
func (op *operator) findAccount(ctx context.Context, namespace string, operation clusterapi.Operation) string {
	if op.account != "" {
		return op.account
	}
	role, name := "editor", clusterapi.Editor
	if operation.Verb == "get" {
		role, name = "viewer", clusterapi.Viewer
	}
	list, err := op.kube.CoreV1().ServiceAccounts(namespace).List(ctx, metav1.ListOptions{LabelSelector: cliLabel + "=" + role})
	if err == nil && len(list.Items) > 0 {
		return list.Items[0].Name
	}
	return name
}

// token returns a token that lasts for at least another minute.
func (op *operator) token(ctx context.Context, namespace string, operation clusterapi.Operation) (string, error) {
	cacheKey := namespace + "/" + operation.Verb
	if known := op.tokens[cacheKey]; known != nil && time.Until(known.ExpirationTimestamp.Time) > time.Minute {
		return known.Token, nil
	}
	account := op.findAccount(ctx, namespace, operation)
	seconds := int64(tokenLifetime / time.Second)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{clusterapi.Audience}, ExpirationSeconds: &seconds}}
	answer, err := op.kube.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("requesting a token of the service account %s/%s to call the operator with: %w", namespace, account, err)
	}
	op.tokens[cacheKey] = &answer.Status
	return answer.Status.Token, nil
}

// call carries out an operation. in is the request, which embeds a clusterapi.Target, and
// out receives the result.
func (op *operator) call(ctx context.Context, operation clusterapi.Operation, in interface{ Of() clusterapi.Target }, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	token, err := op.token(ctx, in.Of().Namespace, operation)
	if err != nil {
		return err
	}
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encoding a request: %w", err)
	}
	result := op.kube.CoreV1().RESTClient().Post().Namespace(op.namespace).Resource("services").
		Name("https:"+op.service+":"+clusterapi.Port).SubResource("proxy").Suffix(clusterapi.Prefix+operation.Path).
		SetHeader(clusterapi.TokenHeader, token).SetHeader(clusterapi.UserHeader, op.user).
		SetHeader("Content-Type", "application/json").SetHeader("Accept", "application/json").
		Body(body).Do(ctx)
	if err := result.Error(); err != nil { // with the message of the answer, unlike that of Raw
		return fmt.Errorf("asking the operator (Service %s/%s): %w", op.namespace, op.service, err)
	}
	answer, err := result.Raw()
	if err != nil {
		return fmt.Errorf("reading the operator's answer: %w", err)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("decoding the operator's answer: %w", err)
	}
	return nil
}

// targets returns the activations in the scope, or the one of a company.
func (op *operator) targets(ctx context.Context, company string) ([]clusterapi.Target, error) {
	var list v1alpha1.CompanyActivationList
	if err := op.scope.client.List(ctx, &list, client.InNamespace(op.scope.namespace)); err != nil {
		return nil, fmt.Errorf("listing CompanyActivations: %w", err)
	}
	var found []clusterapi.Target
	for i := range list.Items {
		a := &list.Items[i]
		if company == "" || company == a.Spec.Company || company == a.Name {
			found = append(found, clusterapi.Target{Namespace: a.Namespace, Activation: a.Name})
		}
	}
	where := "in any namespace"
	if op.scope.namespace != "" {
		where = "in the namespace " + op.scope.namespace
	}
	switch {
	case len(found) == 0 && company != "":
		return nil, fmt.Errorf("no CompanyActivation of the company %q is %s: choose its namespace with -n, or look in all with -A", company, where)
	case len(found) == 0:
		return nil, fmt.Errorf("no CompanyActivation is %s: choose another with -n, or look in all with -A", where)
	case len(found) > maxTargets:
		return nil, fmt.Errorf("%d companies are %s: choose one with --company", len(found), where)
	}
	return found, nil
}

// target returns the only activation in the scope, or the one of a company.
func (op *operator) target(ctx context.Context, company string) (clusterapi.Target, error) {
	found, err := op.targets(ctx, company)
	if err != nil {
		return clusterapi.Target{}, err
	}
	if len(found) > 1 {
		return clusterapi.Target{}, fmt.Errorf("there are %d companies: choose one with --company", len(found))
	}
	return found[0], nil
}
