// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package catalog serves the delivery path from the informers' cache: whether a company
// is active, and which compiled rules match an event. It never calls the API server, so
// events are dispatched while that is unavailable.
package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/cacheindex"
	"github.com/rehive/extension-operator/internal/notify"
)

// ErrNotActive means that a company is unknown, being removed, or deactivated.
var ErrNotActive = errors.New("the company is not active")

// Rule is a NotificationRule in its current, compiled form.
type Rule struct {
	// UID and Name identify the NotificationRule; DisplayName is for people.
	UID, Name, DisplayName string
	// Namespace is that of the NotificationRule.
	Namespace string
	// PreferenceEnabled reports whether users may opt out of the rule's messages.
	PreferenceEnabled bool
	// Channel is the channel of the rule's messages.
	Channel v1alpha1.Channel
	// ValidFor is how long after its event a message may be sent; 0 if it never expires.
	ValidFor time.Duration
	// Sensitive reports whether the texts of messages, and the data of their events, must
	// not be kept once they have ended.
	Sensitive bool
	// Throttle limits the messages to each recipient; nil if there is no limit.
	Throttle *v1alpha1.Throttle
	// IgnoreSuppressions reports whether messages are also sent to recipients who don't want
	// them.
	IgnoreSuppressions bool
	// StopUnknown reports whether a message whose outcome is unknown must not be sent again.
	StopUnknown bool
	// Fallback is the name of the rule that stands in for this one; empty if there is none.
	// FallbackIfUnread is how long a message may stay unread; 0 if it need not be read.
	Fallback         string
	FallbackIfUnread time.Duration
	// Compiled is the rule with its layout. Its Rule is nil if the rule does not parse.
	Compiled notify.Compiled
}

// NewRule compiles a rule and its layout, see [notify.CompileRule].
func NewRule(rule *v1alpha1.NotificationRule, layout *v1alpha1.NotificationLayout, compileLayout func(*v1alpha1.NotificationLayout) (*notify.Layout, notify.Problems)) *Rule {
	r := &Rule{
		UID:                string(rule.UID),
		Name:               rule.Name,
		DisplayName:        rule.Spec.DisplayName,
		Namespace:          rule.Namespace,
		PreferenceEnabled:  rule.Spec.PreferenceEnabled,
		Channel:            rule.Spec.Channel(),
		ValidFor:           rule.Spec.Validity(),
		Sensitive:          rule.Spec.Sensitive,
		Throttle:           rule.Spec.Throttle,
		IgnoreSuppressions: rule.Spec.IgnoreSuppressions,
		StopUnknown:        rule.Spec.OnUnknownOutcome == v1alpha1.StopUnknownOutcome,
		Compiled:           notify.CompileRule(rule, layout, compileLayout),
	}
	if f := rule.Spec.Fallback; f != nil {
		r.Fallback, r.FallbackIfUnread = f.Name, f.UnreadTime()
	}
	return r
}

// Digest returns the rule that sends the rule's digest, which has no throttle and no fallback; nil
// if the rule has no digest.
func (r *Rule) Digest() *Rule {
	compiled, ok := r.Compiled.Digest()
	if !ok {
		return nil
	}
	digest := *r
	digest.Compiled, digest.Throttle, digest.Fallback, digest.FallbackIfUnread = compiled, nil, "", 0
	return &digest
}

// Catalog is safe for concurrent use.
type Catalog struct {
	reader      client.Reader
	activations *activation.Index
	rules       *cacheindex.Index[*v1alpha1.NotificationRule] // by activation and event

	mu       sync.RWMutex
	compiled map[types.UID]compiledRule
	layouts  map[types.UID]compiledLayout
	memory   memory
}

type compiledRule struct {
	generation int64
	layout     layoutVersion // that the rule was compiled with
	rule       *Rule
	held       holding
}

type compiledLayout struct {
	generation int64
	layout     *notify.Layout
	problems   notify.Problems
	held       holding
}

// layoutVersion is one version of a layout; zero for none.
type layoutVersion struct {
	uid        types.UID
	generation int64
}

func versionOf(layout *v1alpha1.NotificationLayout) layoutVersion {
	if layout == nil {
		return layoutVersion{}
	}
	return layoutVersion{layout.UID, layout.Generation}
}

// New returns a catalog based on a cache that need not be started yet.
func New(ctx context.Context, c cache.Cache, activations *activation.Index) (*Catalog, error) {
	catalog := &Catalog{reader: c, activations: activations, compiled: make(map[types.UID]compiledRule), layouts: make(map[types.UID]compiledLayout), memory: newMemory()}
	var err error
	catalog.rules, err = cacheindex.New(ctx, c, &v1alpha1.NotificationRule{}, func(rule *v1alpha1.NotificationRule) string {
		return ruleKey(rule.Namespace, rule.Spec.CompanyRef.Name, rule.Spec.Event)
	}, catalog.forget)
	if err != nil {
		return nil, err
	}
	informer, err := c.GetInformer(ctx, &v1alpha1.NotificationLayout{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching layouts: %w", err)
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{DeleteFunc: catalog.forgetLayout}); err != nil {
		return nil, fmt.Errorf("watching layouts: %w", err)
	}
	return catalog, nil
}

// ruleKey is the key of an activation's rules for an event. Names do not contain slashes.
func ruleKey(namespace, activation, event string) string {
	return namespace + "/" + activation + "/" + event
}

// Activation returns the CompanyActivation in force for an active company, or
// ErrNotActive. The object is owned by the cache and must not be modified, because it is
// read for each event and each message.
func (c *Catalog) Activation(ctx context.Context, company string) (*v1alpha1.CompanyActivation, error) {
	found, err := c.activations.Find(ctx, company)
	if err != nil {
		return nil, err
	}
	if found == nil || !found.IsActive() {
		return nil, ErrNotActive
	}
	// An activation that was only declared may succeed a deleted one, perhaps in another
	// namespace. Its rules must not receive events that were accepted for the other, so it
	// must first be activated by the platform.
	if found.Status.ServiceUser == "" {
		if token, err := c.Token(ctx, found); err != nil || token == "" {
			return nil, errors.Join(ErrNotActive, err)
		}
	}
	return found, nil
}

// Active reports whether a company is active.
func (c *Catalog) Active(ctx context.Context, company string) (bool, error) {
	_, err := c.Activation(ctx, company)
	if errors.Is(err, ErrNotActive) {
		return false, nil
	}
	return err == nil, err
}

// Token returns the service token of an activation; empty if it has none.
func (c *Catalog) Token(ctx context.Context, a *v1alpha1.CompanyActivation) (string, error) {
	credentials, err := c.activations.Credentials(ctx, a)
	if errors.Is(err, activation.ErrMissing) {
		return "", nil
	}
	return credentials.Token, err
}

// MaxRules is the maximum number of a company's rules that are evaluated for one event,
// including disabled ones. The oldest rules count.
const MaxRules = 500

// Rules returns the rules of an activation for an event, including disabled ones, in no
// particular order. Those beyond MaxRules are omitted and described by TooManyRules.
func (c *Catalog) Rules(ctx context.Context, a *v1alpha1.CompanyActivation, event string) ([]*Rule, *TooManyRules, error) {
	found, err := c.rules.Get(ctx, ruleKey(a.Namespace, a.Name, event))
	if err != nil {
		return nil, nil, err
	}
	var beyond *TooManyRules
	if len(found) > MaxRules {
		found, beyond = oldest(found)
	}
	rules := make([]*Rule, 0, len(found))
	for _, rule := range found {
		if !rule.DeletionTimestamp.IsZero() {
			continue
		}
		layout, err := c.layout(ctx, rule)
		if err != nil {
			return nil, nil, err
		}
		rules = append(rules, c.compile(rule, layout))
	}
	return rules, beyond, nil
}

// Rule returns the rule of an activation with a name, including a disabled one; nil if
// there is none.
func (c *Catalog) Rule(ctx context.Context, a *v1alpha1.CompanyActivation, name string) (*Rule, error) {
	rule := new(v1alpha1.NotificationRule)
	switch err := c.reader.Get(ctx, types.NamespacedName{Namespace: a.Namespace, Name: name}, rule, client.UnsafeDisableDeepCopy); {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // documented above
	case err != nil:
		return nil, fmt.Errorf("reading a rule: %w", err)
	case rule.Spec.CompanyRef.Name != a.Name || !rule.DeletionTimestamp.IsZero():
		return nil, nil //nolint:nilnil // documented above
	}
	layout, err := c.layout(ctx, rule)
	if err != nil {
		return nil, err
	}
	return c.compile(rule, layout), nil
}

// RuleOf returns the rule of a message, by the company and the rule's namespace/name; nil if
// it was deleted or the company isn't active.
func (c *Catalog) RuleOf(ctx context.Context, company, rule string) (*Rule, error) {
	a, err := c.Activation(ctx, company)
	if errors.Is(err, ErrNotActive) {
		return nil, nil //nolint:nilnil // documented above
	}
	if err != nil {
		return nil, err
	}
	return c.RuleIn(ctx, a, rule)
}

// RuleIn returns an active company's rule by its namespace/name; nil if the company has none of
// it.
func (c *Catalog) RuleIn(ctx context.Context, a *v1alpha1.CompanyActivation, rule string) (*Rule, error) {
	namespace, name, _ := strings.Cut(rule, "/")
	if namespace != a.Namespace {
		return nil, nil //nolint:nilnil // documented above
	}
	return c.Rule(ctx, a, name)
}

// TooManyRules describes the rules of an event that are not evaluated.
type TooManyRules struct {
	// Count is the total number of rules.
	Count int
	// UID, Name and Channel are those of the oldest rule that is omitted.
	UID, Name string
	Channel   v1alpha1.Channel
}

// oldest returns the oldest MaxRules of more rules.
func oldest(found []*v1alpha1.NotificationRule) ([]*v1alpha1.NotificationRule, *TooManyRules) {
	found = slices.DeleteFunc(slices.Clone(found), func(r *v1alpha1.NotificationRule) bool { return !r.DeletionTimestamp.IsZero() })
	if len(found) <= MaxRules {
		return found, nil
	}
	slices.SortFunc(found, func(a, b *v1alpha1.NotificationRule) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), strings.Compare(a.Name, b.Name))
	})
	first := found[MaxRules]
	return found[:MaxRules], &TooManyRules{Count: len(found), UID: string(first.UID), Name: first.Name, Channel: first.Spec.Channel()}
}

// layout returns the layout that a rule names, or nil if it names none or it doesn't exist.
// The layout is owned by the cache and must not be modified.
func (c *Catalog) layout(ctx context.Context, rule *v1alpha1.NotificationRule) (*v1alpha1.NotificationLayout, error) {
	name := rule.Spec.Layout()
	if name == "" {
		return nil, nil //nolint:nilnil // documented above
	}
	layout := new(v1alpha1.NotificationLayout)
	switch err := c.reader.Get(ctx, types.NamespacedName{Namespace: rule.Namespace, Name: name}, layout, client.UnsafeDisableDeepCopy); {
	case apierrors.IsNotFound(err):
		return nil, nil //nolint:nilnil // documented above
	case err != nil:
		return nil, fmt.Errorf("reading the layout of a rule: %w", err)
	}
	return layout, nil
}

// compileLayout is [notify.CompileLayout] with a cache that is valid until the layout
// changes.
func (c *Catalog) compileLayout(layout *v1alpha1.NotificationLayout) (*notify.Layout, notify.Problems) {
	c.mu.RLock()
	known, ok := c.layouts[layout.UID]
	c.mu.RUnlock()
	if ok && known.generation == layout.Generation && !c.memory.mayFitNow(known.held) {
		return known.layout, known.problems
	}
	compiled, problems := notify.CompileLayout(layout)
	size, owner := 0, layout.Namespace
	if compiled != nil {
		size = compiled.Size()
	}
	if company := layout.Spec.CompanyRef; company != nil {
		owner = ownerOf(layout.Namespace, company.Name)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.memory.replace(c.layouts[layout.UID].held, owner, size)
	if held.refused {
		compiled, problems = nil, notify.Problems{tooMuchMemory}
	}
	c.layouts[layout.UID] = compiledLayout{generation: layout.Generation, layout: compiled, problems: problems, held: held}
	return compiled, problems
}

// compile returns the rule compiled with its layout, from a cache that is valid until the
// rule's spec or its layout changes.
func (c *Catalog) compile(rule *v1alpha1.NotificationRule, layout *v1alpha1.NotificationLayout) *Rule {
	version := versionOf(layout)
	c.mu.RLock()
	known, ok := c.compiled[rule.UID]
	c.mu.RUnlock()
	if ok && known.generation == rule.Generation && known.layout == version && !c.memory.mayFitNow(known.held) {
		return known.rule
	}
	result := NewRule(rule, layout, c.compileLayout)
	size := 0
	if result.Compiled.Rule != nil {
		size = result.Compiled.Rule.Size()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	held := c.memory.replace(c.compiled[rule.UID].held, ownerOf(rule.Namespace, rule.Spec.CompanyRef.Name), size)
	if held.refused {
		result.Compiled.Rule, result.Compiled.Problems = nil, notify.Problems{tooMuchMemory}
	}
	c.compiled[rule.UID] = compiledRule{generation: rule.Generation, layout: version, rule: result, held: held}
	return result
}

func (c *Catalog) forget(rule *v1alpha1.NotificationRule) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.memory.replace(c.compiled[rule.UID].held, "", 0)
	delete(c.compiled, rule.UID)
}

func (c *Catalog) forgetLayout(deleted any) {
	if tombstone, ok := deleted.(toolscache.DeletedFinalStateUnknown); ok {
		deleted = tombstone.Obj
	}
	if layout, ok := deleted.(*v1alpha1.NotificationLayout); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.memory.replace(c.layouts[layout.UID].held, "", 0)
		delete(c.layouts, layout.UID)
	}
}
