// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/check"
	"github.com/rehive/extension-operator/internal/flow"
	"github.com/rehive/extension-operator/internal/namespaces"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/ruletest"
)

// Path is where the webhook is served.
const Path = "/validate"

const (
	// judgeTime is how long the check of one object may take, including waiting. It is
	// shorter than timeoutSeconds of the configuration.
	judgeTime = 2 * time.Second
	// concurrentReviews is how many objects are checked at once. The objects of one
	// namespace occupy half of it at most.
	concurrentReviews = 4
	// maxBody bounds a request: etcd stores objects of up to 1.5 MiB, and a request has
	// the old object and the new one.
	maxBody = 4 << 20
	// concurrentRequests bounds the requests in memory.
	concurrentRequests = 8
	// readTime is how long a request may take to arrive.
	readTime = 3 * time.Second
	// maxWarnings is how many warnings are returned for an object. The API server
	// shortens them if they are longer than 4 KiB together.
	maxWarnings = 20
)

// Options configure a Webhook.
type Options struct {
	// Cache and Live read layouts; Live is used for a layout that is not in Cache yet.
	Cache, Live client.Reader
	// Watched are the namespaces that the operator watches. Objects elsewhere are admitted
	// unchecked.
	Watched namespaces.Set
	// Self is the user name of the operator, whose own objects are admitted unchecked: the
	// API has checked them. It may be empty.
	Self    string
	Metrics *Metrics
	Log     logr.Logger
}

// Webhook checks rules, layouts and templates. It is safe for concurrent use.
type Webhook struct {
	o     Options
	turns *flow.Budget
	// check is replaced in tests.
	check func(ctx context.Context, kind string, object, old []byte, dryRun bool) (judgment, error)
}

// New returns a webhook.
func New(o Options) *Webhook {
	w := &Webhook{o: o, turns: flow.NewBudget(concurrentReviews)}
	w.check = w.judge
	return w
}

// Handler returns the HTTP handler for [Path]. It bounds the cost of requests before they
// are read.
func (w *Webhook) Handler() http.Handler {
	next := &admission.Webhook{Handler: w}
	var inFlight atomic.Int32
	return http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		if inFlight.Add(1) > concurrentRequests {
			inFlight.Add(-1)
			w.o.Metrics.reviewed("", resultUnchecked)
			http.Error(writer, "too many requests", http.StatusServiceUnavailable)
			return
		}
		defer inFlight.Add(-1)
		_ = http.NewResponseController(writer).SetReadDeadline(time.Now().Add(readTime))
		request.Body = http.MaxBytesReader(writer, request.Body, maxBody)
		next.ServeHTTP(writer, request)
	})
}

// judgment is the decision about an object.
type judgment struct {
	refusal  string // empty to admit it
	causes   notify.Problems
	texts    []string // of the causes
	warnings []string
}

// Handle implements admission.Handler. It admits objects that it can't check in time,
// with a warning.
func (w *Webhook) Handle(ctx context.Context, request admission.Request) admission.Response {
	if !w.concerns(&request.AdmissionRequest) {
		return admission.Allowed("")
	}
	ctx, cancel := context.WithTimeout(ctx, judgeTime)
	defer cancel()
	kind := request.Kind.Kind
	turn, err := w.turns.Acquire(ctx, request.Namespace, 1)
	if err != nil {
		return w.unchecked(&request, "the operator is busy")
	}
	type outcome struct {
		judgment
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		// The slot is occupied until the work ends, even if no caller waits for the result.
		defer turn.Release()
		var o outcome
		defer func() {
			if recover() != nil {
				// The panic's text may quote the object, so only the place is logged.
				w.o.Log.Error(errors.New("checking an object failed"), "The admission webhook panicked", "kind", kind, "namespace", request.Namespace, "name", request.Name, "stack", string(debug.Stack()))
				o = outcome{err: errors.New("the check failed")}
			}
			done <- o
		}()
		o.judgment, o.err = w.check(ctx, kind, request.Object.Raw, request.OldObject.Raw, request.DryRun != nil && *request.DryRun)
	}()
	select {
	case <-ctx.Done():
		return w.unchecked(&request, fmt.Sprintf("it takes longer than %s", judgeTime))
	case o := <-done:
		if o.err != nil {
			return w.unchecked(&request, o.err.Error())
		}
		return w.respond(&request, &o.judgment)
	}
}

// concerns reports whether a request must be checked.
func (w *Webhook) concerns(r *admissionv1.AdmissionRequest) bool {
	return r.SubResource == "" &&
		(r.Operation == admissionv1.Create || r.Operation == admissionv1.Update) &&
		w.o.Watched.Has(r.Namespace) &&
		(w.o.Self == "" || r.UserInfo.Username != w.o.Self)
}

// unchecked admits an object that could not be checked.
func (w *Webhook) unchecked(r *admission.Request, why string) admission.Response {
	w.o.Metrics.reviewed(r.Kind.Kind, resultUnchecked)
	return admission.Allowed("").WithWarnings(fmt.Sprintf(
		"accepted unchecked, because %s. Its condition Ready reports whether it works.", why))
}

func (w *Webhook) respond(r *admission.Request, j *judgment) admission.Response {
	kind, warnings := r.Kind.Kind, j.warnings[:min(len(j.warnings), maxWarnings)]
	if j.refusal == "" {
		result := resultAdmitted
		if len(warnings) > 0 {
			result = resultWarned
		}
		w.o.Metrics.reviewed(kind, result)
		return admission.Allowed("").WithWarnings(warnings...)
	}
	w.o.Metrics.reviewed(kind, resultRefused)
	status := &metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
		Message: j.refusal, Details: &metav1.StatusDetails{Group: r.Kind.Group, Kind: kind, Name: r.Name},
	}
	// kubectl shows the kind, the name and the causes, and not the message.
	for i := range j.causes {
		status.Details.Causes = append(status.Details.Causes, metav1.StatusCause{
			Type: metav1.CauseTypeFieldValueInvalid, Field: j.causes[i].Field, Message: j.texts[i],
		})
	}
	return admission.Response{AdmissionResponse: admissionv1.AdmissionResponse{Result: status}}.WithWarnings(warnings...)
}

// judge checks an object. The error says, as the end of a sentence, why it could not.
func (w *Webhook) judge(ctx context.Context, kind string, object, old []byte, dryRun bool) (judgment, error) {
	switch kind {
	case "NotificationRule":
		return judge(object, old, func(r *v1alpha1.NotificationRule) any { return &r.Spec }, func(r *v1alpha1.NotificationRule) (*check.Report, error) {
			layout, err := w.layout(ctx, r)
			if err != nil {
				return nil, err
			}
			report := check.Rule(ctx, r, layout, notify.CompileLayout)
			if err := report.Fallback(r, func(name string) (*v1alpha1.NotificationRule, error) { return w.rule(ctx, r.Namespace, name) }); err != nil {
				return nil, err
			}
			return report, nil
		}, dryRun)
	case "NotificationLayout":
		return judge(object, old, func(l *v1alpha1.NotificationLayout) any { return &l.Spec }, func(l *v1alpha1.NotificationLayout) (*check.Report, error) {
			return check.Layout(l), nil
		}, dryRun)
	case "NotificationTemplate":
		return judge(object, old, func(t *v1alpha1.NotificationTemplate) any { return &t.Spec }, func(t *v1alpha1.NotificationTemplate) (*check.Report, error) {
			return check.Template(ctx, t), nil
		}, dryRun)
	}
	return judgment{}, nil
}

// judge refuses an object for the problems that it has and its predecessor did not have.
// Earlier problems are warnings, so that a rule from before an upgrade can still be
// disabled.
func judge[T any, P interface {
	*T
	client.Object
}](object, old []byte, spec func(P) any, examine func(P) (*check.Report, error), dryRun bool) (judgment, error) {
	now := P(new(T))
	if err := json.Unmarshal(object, now); err != nil {
		return judgment{}, errors.New("the operator can't read it")
	}
	var before P
	if len(old) > 0 {
		before = P(new(T))
		if err := json.Unmarshal(old, before); err != nil {
			return judgment{}, errors.New("the operator can't read the stored object")
		}
		if !now.GetDeletionTimestamp().IsZero() || equality.Semantic.DeepEqual(spec(now), spec(before)) {
			return judgment{}, nil
		}
	}
	report, err := examine(now)
	if err != nil {
		return judgment{}, err
	}
	var j judgment
	if problem := report.Compiled.LayoutProblem; dryRun && problem != nil && problem.Missing {
		// A dry run doesn't store the layout that is applied together with the rule.
		j.warnings = append(j.warnings, notify.Sentence(problem.Error()))
		report.Compiled.LayoutProblem = nil
	}
	refused := report
	if before != nil && report.Refusal() != "" {
		earlier, err := examine(before)
		if err != nil {
			return judgment{}, err
		}
		refused = report.Without(earlier)
	}
	j.refusal, j.causes, j.texts = refused.Explanation(), refused.All(), refused.Explanations()
	if refused != report {
		for _, p := range report.All() {
			if !slices.Contains(j.causes, p) {
				j.warnings = append(j.warnings, p.Error())
			}
		}
	}
	if report.Tests.Unfinished {
		j.warnings = append(j.warnings, fmt.Sprintf("spec.tests: the tests take longer than %s and were not all run", ruletest.Timeout))
	}
	for i := range report.Warnings {
		j.warnings = append(j.warnings, report.Warnings[i].Error())
	}
	return j, nil
}

// rule returns a rule; nil if it doesn't exist.
func (w *Webhook) rule(ctx context.Context, namespace, name string) (*v1alpha1.NotificationRule, error) {
	rule := &v1alpha1.NotificationRule{}
	err := w.o.Cache.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, rule)
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // documented above
	case err != nil:
		w.o.Log.Error(err, "Could not read the fallback of a rule", "namespace", namespace, "rule", name)
		return nil, fmt.Errorf("its fallback %s could not be read", name)
	}
	return rule, nil
}

// layout returns the layout that a rule names; nil if it names none or one that does not
// exist.
func (w *Webhook) layout(ctx context.Context, rule *v1alpha1.NotificationRule) (*v1alpha1.NotificationLayout, error) {
	if rule.Spec.Layout() == "" {
		return nil, nil //nolint:nilnil // documented above
	}
	key := client.ObjectKey{Namespace: rule.Namespace, Name: rule.Spec.Layout()}
	layout := &v1alpha1.NotificationLayout{}
	err := w.o.Cache.Get(ctx, key, layout)
	if apierrors.IsNotFound(err) {
		// It may have been created a moment ago.
		err = w.o.Live.Get(ctx, key, layout)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // documented above
	case err != nil:
		w.o.Log.Error(err, "Could not read the layout of a rule", "namespace", rule.Namespace, "rule", rule.Name)
		return nil, fmt.Errorf("its NotificationLayout %s could not be read", rule.Spec.Layout())
	}
	return layout, nil
}
