// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package server carries out the operations of clusterapi for users of the cluster whom
// Kubernetes authenticates and authorizes.
package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/clusterapi"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/namespaces"
)

// Asking who the caller is requires permission to review tokens, on the cluster, which
// config/admission grants; what the caller may do is asked in its namespace.
//
// +kubebuilder:rbac:namespace=system,groups=authorization.k8s.io,resources=localsubjectaccessreviews,verbs=create

const (
	// concurrentRequests bounds the requests in memory, concurrentOperations those that
	// passed authorization. The operations of one namespace occupy half at most.
	concurrentRequests   = 16
	concurrentOperations = 4
	// maxBody bounds a request in bytes, readTime how long it may take to arrive.
	maxBody  = 64 << 10
	readTime = 5 * time.Second
	// requestTime bounds a whole request, reviewTime what the API server takes of it.
	requestTime = 30 * time.Second
	reviewTime  = 10 * time.Second
	// maxUser bounds the unverified name of the caller in the log, in bytes.
	maxUser = 256
)

// Ledger is the part of the ledger that the operations use.
type Ledger interface {
	ledger.Log
	ledger.History
	ledger.Quarantine
	ledger.Erasures
	ledger.Suppressions
}

// Activations finds the activation in force for a company; nil if there is none.
type Activations interface {
	Find(ctx context.Context, company string) (*v1alpha1.CompanyActivation, error)
}

// Options configure a Server.
type Options struct {
	// Kubernetes reviews tokens and permissions.
	Kubernetes kubernetes.Interface
	// Cache reads CompanyActivations.
	Cache       client.Reader
	Activations Activations
	// Watched are the namespaces that the operator watches.
	Watched namespaces.Set
	Ledger  Ledger
	Log     logr.Logger
}

// Server is an http.Handler for [clusterapi.Prefix]. It is safe for concurrent use.
type Server struct {
	o        Options
	mux      *http.ServeMux
	requests chan struct{}
	turns    *flow.Budget
	now      func() time.Time
}

// New returns a server.
func New(o Options) *Server {
	s := &Server{
		o: o, mux: http.NewServeMux(), requests: make(chan struct{}, concurrentRequests),
		turns: flow.NewBudget(concurrentOperations), now: time.Now,
	}
	add(s, clusterapi.ListMessages, s.listMessages)
	add(s, clusterapi.ReplayMessages, s.replayMessages)
	add(s, clusterapi.EraseUser, s.eraseUser)
	add(s, clusterapi.ListSuppressions, s.listSuppressions)
	add(s, clusterapi.AddSuppression, s.addSuppression)
	add(s, clusterapi.ImportSuppressions, s.importSuppressions)
	add(s, clusterapi.RemoveSuppressions, s.removeSuppressions)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, metav1.StatusReasonNotFound, "The operator doesn't know this operation. Use the version of kubectl rehive that belongs to the operator's.")
	})
	return s
}

// ServeHTTP implements http.Handler. It bounds the cost of a request before anything else.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	select {
	case s.requests <- struct{}{}:
		defer func() { <-s.requests }()
	default:
		refuse(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests, "The operator has too many requests of kubectl users. Try again later.")
		return
	}
	now := s.now()
	controller := http.NewResponseController(w)
	_ = controller.SetReadDeadline(now.Add(readTime))
	_ = controller.SetWriteDeadline(now.Add(requestTime + readTime))
	ctx, cancel := context.WithTimeout(r.Context(), requestTime)
	defer cancel()
	s.mux.ServeHTTP(w, r.WithContext(ctx))
}

// call is an authorized request.
type call struct {
	// company is the platform's identifier of the company.
	company string
	target  clusterapi.Target
	// log names the caller and the target. Operations that change something write an entry.
	log logr.Logger
}

// add serves an operation. do is called with an authorized caller and a target that exists;
// its error is an apierrors.APIStatus or is not shown to the caller.
func add[In interface{ Of() clusterapi.Target }, Out any](s *Server, operation clusterapi.Operation, do func(context.Context, *call, *In) (*Out, error)) {
	s.mux.HandleFunc("POST "+clusterapi.Prefix+operation.Path, func(w http.ResponseWriter, r *http.Request) {
		out, err := serve(s, w, r, operation, do)
		var status apierrors.APIStatus
		switch {
		case errors.As(err, &status):
			write(w, int(status.Status().Code), status.Status())
		case err != nil:
			s.o.Log.Error(err, "A request of a kubectl user failed", "operation", operation.Path)
			refuse(w, http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "The operator could not carry this out. Try again later, or see its log.")
		default:
			write(w, http.StatusOK, out)
		}
	})
}

func serve[In interface{ Of() clusterapi.Target }, Out any](s *Server, w http.ResponseWriter, r *http.Request, operation clusterapi.Operation, do func(context.Context, *call, *In) (*Out, error)) (*Out, error) {
	tokens := r.Header.Values(clusterapi.TokenHeader)
	if len(tokens) != 1 || !looksValid(tokens[0], s.now()) {
		return nil, unauthorized()
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return nil, apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("The request can't be read: it may have at most %d bytes, and must arrive within %s.", maxBody, readTime))
	}
	// If the deadline passed during the operation, it would cancel the request.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	in := new(In)
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(in); err != nil {
		return nil, apierrors.NewBadRequest("The request can't be decoded. Use the version of kubectl rehive that belongs to the operator's.")
	}
	target := (*in).Of()
	reviewing, cancel := context.WithTimeout(r.Context(), reviewTime)
	defer cancel()
	user, err := s.authenticate(reviewing, tokens[0])
	switch {
	case err != nil:
		return nil, err
	case user == nil:
		return nil, unauthorized()
	}
	forbidden := &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden,
		Message: fmt.Sprintf("%s may not %s %s/%s of %s/%s.", user.Username, operation.Verb, clusterapi.Resource, operation.Subresource, target.Namespace, target.Activation),
	}}
	if target.Namespace == "" || target.Activation == "" || !s.o.Watched.Has(target.Namespace) {
		return nil, forbidden
	}
	allowed, err := s.authorize(reviewing, user, operation, target)
	switch {
	case err != nil:
		return nil, err
	case !allowed:
		return nil, forbidden
	}
	turn, err := s.turns.Acquire(r.Context(), target.Namespace, 1)
	if err != nil {
		return nil, apierrors.NewTooManyRequests("The operator is busy with requests of kubectl users. Try again later.", 1)
	}
	defer turn.Release()
	company, err := s.company(r.Context(), target)
	if err != nil {
		return nil, err
	}
	claimed := r.Header.Get(clusterapi.UserHeader)
	if len(claimed) > maxUser {
		claimed = strings.ToValidUTF8(claimed[:maxUser], "")
	}
	c := &call{company: company, target: target, log: s.o.Log.WithValues(
		"company", company, "namespace", target.Namespace, "activation", target.Activation,
		"by", user.Username, "credential", credential(user), "claimedUser", claimed,
	)}
	return do(r.Context(), c, in)
}

// company returns the company that an activation holds. Another activation of the same
// company, in a namespace whose users may see it, gives no access.
func (s *Server) company(ctx context.Context, target clusterapi.Target) (string, error) {
	missing := apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource(clusterapi.Resource).GroupResource(), target.Activation)
	named := &v1alpha1.CompanyActivation{}
	err := s.o.Cache.Get(ctx, client.ObjectKey{Namespace: target.Namespace, Name: target.Activation}, named)
	if apierrors.IsNotFound(err) {
		return "", missing
	}
	if err != nil {
		return "", fmt.Errorf("reading a CompanyActivation: %w", err)
	}
	holder, err := s.o.Activations.Find(ctx, named.Spec.Company)
	switch {
	case err != nil:
		return "", fmt.Errorf("finding the activation of a company: %w", err)
	case holder == nil || holder.UID != named.UID:
		return "", apierrors.NewConflict(v1alpha1.GroupVersion.WithResource(clusterapi.Resource).GroupResource(), target.Activation,
			errors.New("it does not hold its company: see its condition Ready"))
	}
	return named.Spec.Company, nil
}

func unauthorized() error {
	return apierrors.NewUnauthorized(fmt.Sprintf("A token of a service account for the audience %s is required.", clusterapi.Audience))
}

func refuse(w http.ResponseWriter, code int32, reason metav1.StatusReason, message string) {
	write(w, int(code), metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message})
}

// write answers with JSON. Errors are a metav1.Status, which client-go decodes.
func write(w http.ResponseWriter, code int, body any) {
	if status, ok := body.(metav1.Status); ok {
		status.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
		body = status
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write(encoded)
}
