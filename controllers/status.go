// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// maxMessageRunes keeps a condition readable; the API server allows 32768.
	maxMessageRunes = 2048
	// maxNoteRunes is what the API server allows for the note of an event, less
	// room for characters of several bytes.
	maxNoteRunes = 256
)

// conditioned is an object with conditions.
type conditioned interface {
	client.Object
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
}

// setCondition sets a condition for the object's present generation. An
// unchanged status keeps its transition time.
func setCondition(o conditioned, kind string, status metav1.ConditionStatus, reason, message string) {
	conditions := o.GetConditions()
	meta.SetStatusCondition(&conditions, metav1.Condition{
		Type:               kind,
		Status:             status,
		Reason:             reason,
		Message:            shorten(message, maxMessageRunes),
		ObservedGeneration: o.GetGeneration(),
	})
	o.SetConditions(conditions)
}

func removeCondition(o conditioned, kind string) {
	conditions := o.GetConditions()
	meta.RemoveStatusCondition(&conditions, kind)
	o.SetConditions(conditions)
}

// conditionReason returns the reason of a condition, empty if there is none.
func conditionReason(o conditioned, kind string) string {
	if condition := meta.FindStatusCondition(o.GetConditions(), kind); condition != nil {
		return condition.Reason
	}
	return ""
}

// patchStatus writes the status if it changed. An object that is gone needs
// none.
func patchStatus(ctx context.Context, c client.Client, before, after client.Object, was, is any, options ...client.MergeFromOption) error {
	if equality.Semantic.DeepEqual(was, is) {
		return nil
	}
	if err := c.Status().Patch(ctx, after, client.MergeFromWithOptions(before, options...)); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	return nil
}

func shorten(s string, limit int) string {
	runes := []rune(s)
	if len(runes) <= limit {
		return s
	}
	return string(runes[:limit-1]) + "…"
}
