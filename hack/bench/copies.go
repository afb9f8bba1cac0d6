// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/test/stage"
)

// multiplied is the label of rules that divideRules removes.
const multiplied = "bench"

// copyRules creates Ready rules for the companies with the numbers from to to: copies of
// another company's.
func (b *bench) copyRules(ctx context.Context, original *v1alpha1.CompanyActivation, from, to int) error {
	rules := make([]v1alpha1.NotificationRule, rulesPerCompany)
	for n := range rules {
		if err := b.set.Kube.Get(ctx, client.ObjectKeyFromObject(declaredRule(original, n)), &rules[n]); err != nil {
			return fmt.Errorf("reading a rule: %w", err)
		}
	}
	return each(to-from, 16, func(i int) error {
		a, err := b.declareCompany(ctx, from+i)
		if err != nil {
			return err
		}
		copies := make([]*v1alpha1.NotificationRule, len(rules))
		for n := range rules {
			copies[n] = rules[n].DeepCopy()
			copies[n].Name, copies[n].Spec.CompanyRef.Name = declaredRule(a, n).Name, a.Name
		}
		return b.restore(ctx, copies)
	})
}

// multiplyRules copies each company's Ready rules until it has perCompany of them.
func (b *bench) multiplyRules(ctx context.Context, companies []*webhook, perCompany int) error {
	var list v1alpha1.NotificationRuleList
	if err := b.set.Kube.List(ctx, &list, client.InNamespace(stage.Namespace)); err != nil {
		return fmt.Errorf("listing the rules: %w", err)
	}
	originals := make(map[string][]*v1alpha1.NotificationRule)
	for i := range list.Items {
		rule := &list.Items[i]
		originals[rule.Spec.CompanyRef.Name] = append(originals[rule.Spec.CompanyRef.Name], rule)
	}
	started := time.Now()
	err := each(len(companies), 8, func(i int) error {
		rules := originals[companies[i].company]
		var copies []*v1alpha1.NotificationRule
		for n := len(rules); n < perCompany; n++ {
			rule := rules[n%len(rules)].DeepCopy()
			rule.Name = fmt.Sprintf("%s-copy-%d", companies[i].company, n)
			rule.Labels = map[string]string{multiplied: "copy"}
			copies = append(copies, rule)
		}
		return b.restore(ctx, copies)
	})
	if err != nil {
		return err
	}
	if _, err := b.reconciled(ctx); err != nil {
		return err
	}
	fmt.Printf("  %d companies have %d rules each after %s.\n", len(companies), perCompany, time.Since(started).Round(100*time.Millisecond))
	return nil
}

// divideRules removes the rules that multiplyRules created.
func (b *bench) divideRules(ctx context.Context) error {
	// A busy API server needs several calls for thousands of rules.
	if err := b.set.Eventually(ctx, "the copies of rules to be removed", func() error {
		return b.set.Kube.DeleteAllOf(ctx, &v1alpha1.NotificationRule{}, client.InNamespace(stage.Namespace), client.MatchingLabels{multiplied: "copy"})
	}); err != nil {
		return err
	}
	_, err := b.reconciled(ctx)
	return err
}

// restore creates rules with their statuses, as a restored backup does: it writes them directly
// to etcd. The API server would take many minutes.
func (b *bench) restore(ctx context.Context, rules []*v1alpha1.NotificationRule) error {
	for some := range slices.Chunk(rules, 50) { // etcd limits a transaction
		values := make(map[string][]byte)
		for _, rule := range some {
			rule.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("NotificationRule"))
			rule.UID, rule.ResourceVersion = uuid.NewUUID(), "" // etcd stores the version separately
			value, err := json.Marshal(rule)
			if err != nil {
				return fmt.Errorf("encoding a rule: %w", err)
			}
			values["/registry/extensions.rehive.com/notificationrules/"+rule.Namespace+"/"+rule.Name] = value
		}
		if err := putInEtcd(ctx, b.set.EtcdURL(), values); err != nil {
			return fmt.Errorf("writing to etcd: %w", err)
		}
	}
	return nil
}

// putInEtcd writes values to etcd in one transaction.
func putInEtcd(ctx context.Context, address string, values map[string][]byte) error {
	type put struct {
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	}
	type operation struct {
		Put put `json:"requestPut"`
	}
	var transaction struct {
		Success []operation `json:"success"`
	}
	for key, value := range values {
		transaction.Success = append(transaction.Success, operation{put{[]byte(key), value}})
	}
	body, err := json.Marshal(transaction)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/v3/kv/txn", bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && (response.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"succeeded":true`))) {
		err = fmt.Errorf("it answers %s: %s", response.Status, answer)
	}
	return err
}
