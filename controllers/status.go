// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
)

const (
	// maxMessageRunes keeps a condition readable; the API server allows 32768.
	maxMessageRunes = 2048
	// maxNoteRunes is the API server's limit for the note of an event, less room for
	// multibyte characters.
	maxNoteRunes = 256

	// cacheDelay is how long a reconciler waits when its cache is stale.
	cacheDelay = 50 * time.Millisecond
	// maxCacheLag is how long a reconciler waits for its cache at most. Resource versions are
	// lower again after etcd was restored from a backup.
	maxCacheLag = time.Minute
	// maxWritten is how many objects are remembered whose status was written. The cache
	// usually shows it within milliseconds.
	maxWritten = 4096
)

// conditioned is an object with conditions.
type conditioned interface {
	client.Object
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
}

// verdict is the result of a reconciler for one condition.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

// reporter creates reports. All reconcilers have one.
type reporter struct {
	client   client.Client
	recorder events.EventRecorder
	// written are the latest statuses that the cache may not show yet.
	written *lru.Cache[types.UID, writtenStatus]
}

type writtenStatus struct {
	resourceVersion string
	at              time.Time
}

func newReporter(c client.Client, recorder events.EventRecorder) reporter {
	written, _ := lru.New[types.UID, writtenStatus](maxWritten) // it fails for sizes below 1
	return reporter{client: c, recorder: recorder, written: written}
}

// isStale reports whether a cached object is older than the status that was last written to it.
// Compared with an older status, a new one may seem to be written already.
func (r reporter) isStale(o conditioned) bool {
	last, ok := r.written.Get(o.GetUID())
	if !ok {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(o.GetResourceVersion(), last.resourceVersion)
	if err == nil && order < 0 && time.Since(last.at) < maxCacheLag {
		return true
	}
	r.written.Remove(o.GetUID())
	return false
}

// report collects the results of one reconciliation: the object's new status, which the
// reconciler sets on the object itself, and events. It is written at the end, regardless of
// other failures.
type report struct {
	reporter
	before, object conditioned
	notes          []note
}

type note struct{ kind, reason, action, message string }

func (r reporter) begin(o conditioned) *report {
	return &report{reporter: r, before: o.DeepCopyObject().(conditioned), object: o}
}

// note records an event once the status is written.
func (p *report) note(kind, reason, action, message string) {
	p.notes = append(p.notes, note{kind, reason, action, message})
}

// isReplaced reports whether another object has the name now. A patch knows objects by
// name only, and the status of the former one is not that of the next.
func (p *report) isReplaced(ctx context.Context) bool {
	current := p.object.DeepCopyObject().(conditioned)
	err := p.client.Get(ctx, client.ObjectKeyFromObject(p.object), current)
	return err == nil && current.GetUID() != p.object.GetUID()
}

// write patches the status from before to that of o. Without an error, written is false if the
// object was deleted or replaced, and needs no status.
func (p *report) write(ctx context.Context, o conditioned) (written bool, err error) {
	if p.isReplaced(ctx) {
		return false, nil
	}
	patched := o.DeepCopyObject().(conditioned) // the response replaces it
	if err = p.client.Status().Patch(ctx, patched, client.MergeFrom(p.before)); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	p.written.Add(patched.GetUID(), writtenStatus{patched.GetResourceVersion(), time.Now()})
	return true, nil
}

// writeConditions writes the conditions ahead of the rest of the status, before something that
// can take long.
func (p *report) writeConditions(ctx context.Context) error {
	current := p.before.DeepCopyObject().(conditioned)
	current.SetConditions(slices.Clone(p.object.GetConditions()))
	written, err := p.write(ctx, current)
	if err != nil {
		return fmt.Errorf("writing the conditions: %w", err)
	}
	if written {
		p.before = current
	}
	return nil
}

// finish writes the status if it changed, then records the events. It returns the result
// of the reconciliation, whose error may include that of the write.
func (p *report) finish(ctx context.Context, result ctrl.Result, err error) (ctrl.Result, error) {
	if !equality.Semantic.DeepEqual(p.before, p.object) {
		switch written, failure := p.write(ctx, p.object); {
		case failure != nil:
			return ctrl.Result{}, errors.Join(err, fmt.Errorf("writing the status: %w", failure))
		case !written:
			return result, err
		}
	}
	for _, n := range p.notes {
		p.recorder.Eventf(p.object, nil, n.kind, n.reason, n.action, "%s", shorten(n.message, maxNoteRunes))
	}
	return result, err
}

// reportDeletionPending says of a deleted object with finalizers which effect it still has, and
// what it waits for.
func (r reporter) reportDeletionPending(ctx context.Context, o conditioned, observe func(), effect string) (ctrl.Result, error) {
	report := r.begin(o)
	setReady(o, verdict{metav1.ConditionFalse, v1alpha1.DeletionPendingReason, fmt.Sprintf(
		"The object was deleted: %s. It remains until these finalizers, which are not the operator's, are removed: %s.", effect, strings.Join(o.GetFinalizers(), ", "))}, false)
	observe()
	return report.finish(ctx, ctrl.Result{}, nil)
}

// readyChanged reports whether the reason of Ready changed.
func (p *report) readyChanged() bool {
	return conditionReason(p.before, v1alpha1.ReadyCondition) != conditionReason(p.object, v1alpha1.ReadyCondition)
}

// set sets a condition for the object's current generation. A condition with an unchanged
// status keeps its transition time.
func set(o conditioned, kind string, v verdict) {
	conditions := o.GetConditions()
	meta.SetStatusCondition(&conditions, metav1.Condition{
		Type:               kind,
		Status:             v.status,
		Reason:             v.reason,
		Message:            shorten(v.message, maxMessageRunes),
		ObservedGeneration: o.GetGeneration(),
	})
	o.SetConditions(conditions)
}

// setReady sets Ready, and Stalled with the same reason and message if a person must act.
func setReady(o conditioned, v verdict, stalled bool) {
	set(o, v1alpha1.ReadyCondition, v)
	if stalled {
		set(o, v1alpha1.StalledCondition, verdict{metav1.ConditionTrue, v.reason, v.message})
		return
	}
	conditions := o.GetConditions()
	meta.RemoveStatusCondition(&conditions, v1alpha1.StalledCondition)
	o.SetConditions(conditions)
}

// conditionReason returns the reason of a condition, or "" if there is none.
func conditionReason(o conditioned, kind string) string {
	if condition := meta.FindStatusCondition(o.GetConditions(), kind); condition != nil {
		return condition.Reason
	}
	return ""
}

// conditionMessage returns the message of a condition, or "" if there is none.
func conditionMessage(o conditioned, kind string) string {
	if condition := meta.FindStatusCondition(o.GetConditions(), kind); condition != nil {
		return condition.Message
	}
	return ""
}

// noteReady records an event with the reason and the message of Ready: a warning,
// unless Ready is True.
func (p *report) noteReady(action string) {
	if condition := meta.FindStatusCondition(p.object.GetConditions(), v1alpha1.ReadyCondition); condition != nil {
		kind := corev1.EventTypeWarning
		if condition.Status == metav1.ConditionTrue {
			kind = corev1.EventTypeNormal
		}
		p.note(kind, condition.Reason, action, condition.Message)
	}
}

func shorten(s string, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	return string(runes[:limit-1]) + "…"
}
