// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/delivery"
	"github.com/rehive/extension-operator/internal/delivery/provider"
	"github.com/rehive/extension-operator/internal/testmode"
)

// Companies finds a company's activation and its token.
type Companies interface {
	Activation(ctx context.Context, company string) (*v1alpha1.CompanyActivation, error)
	Token(ctx context.Context, a *v1alpha1.CompanyActivation) (string, error)
}

// RegistryOptions configure a [Registry]. Reader, Companies and Builder are required.
type RegistryOptions struct {
	// Reader finds DeliveryProviders without calling the API server: it is used for each
	// message.
	Reader    client.Reader
	Companies Companies
	Builder   *Builder
	// Defaults name the DeliveryProviders of companies that name none, by channel.
	Defaults map[v1alpha1.Channel]types.NamespacedName
	// Fallback are the providers of channels without a default.
	Fallback delivery.ByChannel
	// Domains knows from which domains a company may send through Defaults and
	// Fallback; nil lets it send from any.
	Domains *Domains
	// Quotas limit what companies send; nil doesn't limit it.
	Quotas *Quotas
	// TestMode limits the recipients of companies in test mode; nil doesn't limit them.
	TestMode *testmode.Guard
	// Unsubscribe returns the URL by which a user opts out of a rule's messages; empty if
	// there is none. May be nil.
	Unsubscribe func(ctx context.Context, a *v1alpha1.CompanyActivation, rule, user string) string
	// EmailFrom is the sender of these providers where they have none of their own; it
	// may be empty.
	EmailFrom string
	// Metrics measure the providers; may be nil.
	Metrics *delivery.ProvidersMetrics
	Log     logr.Logger
}

// Registry finds the provider for a company's channel: the one that the company
// names, else the operator's default. It keeps providers alive between messages and
// rebuilds them when the DeliveryProvider or its Secret changes. It implements
// [delivery.Routes] and is safe for concurrent use.
type Registry struct {
	RegistryOptions

	mu     sync.Mutex
	live   map[types.NamespacedName]*live
	runs   sync.WaitGroup
	closed bool
}

// live is a provider in use with what protects it.
type live struct {
	built   *Built
	guarded *delivery.Guard
	metrics *delivery.ProviderMetrics
	stop    context.CancelFunc
}

// NewRegistry returns a registry. Close it once no more messages are sent.
func NewRegistry(o RegistryOptions) *Registry {
	return &Registry{RegistryOptions: o, live: make(map[types.NamespacedName]*live)}
}

// Route implements [delivery.Routes].
func (r *Registry) Route(ctx context.Context, company, channelName string) (delivery.Route, error) {
	a, err := r.Companies.Activation(ctx, company)
	if err != nil {
		return delivery.Route{}, fmt.Errorf("finding the company's activation: %w", err)
	}
	channel := v1alpha1.Channel(channelName)
	var route delivery.Route
	if a.Spec.Providers.Several(channel) {
		route, err = r.throughSeveral(ctx, a, channel, a.Spec.Providers.All(channel))
	} else {
		var sender string
		var shared bool
		route, sender, shared, err = r.direct(ctx, a, channel)
		if err == nil && route.Provider != nil {
			// Whatever is put before the provider keeps the route's gate and patience.
			route.Provider = r.sending(a, channel, route.Provider, sender, shared)
		}
	}
	if err != nil || route.Provider == nil {
		return delivery.Route{}, err
	}
	if channel == v1alpha1.ChannelEmail {
		route.Provider = r.withHeaders(a, route.Provider)
	}
	if r.Quotas != nil {
		route.Provider = r.Quotas.charged(a, channel, route.Provider)
	}
	if guard := r.TestMode.Of(a); guard != nil {
		route.Provider = onlyAllowed{next: route.Provider, guard: guard, channel: channel}
	}
	return route, nil
}

// direct returns the route to the provider of a company's channel, and the sender that the
// provider has of its own. Shared is true for a provider of the operator, which other
// companies use as well.
func (r *Registry) direct(ctx context.Context, a *v1alpha1.CompanyActivation, channel v1alpha1.Channel) (route delivery.Route, sender string, shared bool, err error) {
	key := r.key(a, channel)
	if key.Name == "" {
		route, err = r.Fallback.Route(ctx, a.Spec.Company, string(channel))
		return route, "", true, err
	}
	return r.to(ctx, key, channel)
}

// to is direct for a DeliveryProvider.
func (r *Registry) to(ctx context.Context, key types.NamespacedName, channel v1alpha1.Channel) (route delivery.Route, sender string, shared bool, err error) {
	p, err := r.get(ctx, key)
	if err != nil {
		return route, "", false, err
	}
	if kind, serves := p.Spec.Type(); serves != channel {
		return route, "", false, provider.Misconfigured("WrongChannel", fmt.Sprintf("The DeliveryProvider %s is of the type %s, which doesn't send %s.", key, kind, channel))
	}
	live, err := r.current(ctx, key, p)
	if err != nil {
		return route, "", false, err
	}
	asker, _ := live.built.Provider.(provider.Asker)
	route = delivery.RouteTo(live.guarded)
	route.Asker = asker
	return route, p.Spec.Sender, key == r.Defaults[channel], nil
}

// Reporter returns a DeliveryProvider and what reads its reports; nil if the DeliveryProvider
// doesn't exist, can't be used or doesn't report.
func (r *Registry) Reporter(ctx context.Context, key types.NamespacedName) (*v1alpha1.DeliveryProvider, provider.Reporter, error) {
	p, err := r.get(ctx, key)
	if err == nil && (!p.Spec.Feedback || !p.DeletionTimestamp.IsZero()) {
		return nil, nil, nil
	}
	var live *live
	if err == nil {
		live, err = r.current(ctx, key, p)
	}
	if provider.IsMisconfigured(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return p, live.built.Reporter, nil
}

// UsedBy returns the companies whose messages a DeliveryProvider sends.
func (r *Registry) UsedBy(ctx context.Context, p *v1alpha1.DeliveryProvider) ([]string, error) {
	var list v1alpha1.CompanyActivationList
	if err := r.Reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the CompanyActivations that use a provider: %w", err)
	}
	_, channel := p.Spec.Type()
	var companies []string
	for i := range list.Items {
		a := &list.Items[i]
		names := a.Spec.Providers.All(channel)
		if a.Namespace == p.Namespace && slices.Contains(names, p.Name) || len(names) == 0 && r.Defaults[channel] == client.ObjectKeyFromObject(p) {
			companies = append(companies, a.Spec.Company)
		}
	}
	return companies, nil
}

// sending returns a provider with the rules for senders that apply to a company there.
func (r *Registry) sending(a *v1alpha1.CompanyActivation, channel v1alpha1.Channel, p provider.Provider, sender string, shared bool) provider.Provider {
	p = r.known(a, p, sender)
	if shared {
		p = r.shared(a, channel, p, sender)
	}
	return p
}

// known returns the provider, which then learns from each message whether a rule chose its
// sender.
func (r *Registry) known(a *v1alpha1.CompanyActivation, p provider.Provider, sender string) provider.Provider {
	return knownSenders{next: p, senders: [...]string{sender, r.EmailFrom, a.Profile().SystemEmail}}
}

// shared returns a provider of the operator for one company's messages.
func (r *Registry) shared(a *v1alpha1.CompanyActivation, channel v1alpha1.Channel, p provider.Provider, sender string) provider.Provider {
	if channel != v1alpha1.ChannelEmail || r.Domains == nil {
		return p
	}
	return sharedEmail{next: p, company: a, domains: r.Domains, own: orDefault(sender, r.EmailFrom)}
}

// EmailSender returns the sender that the DeliveryProvider of a company's emails
// names; empty if there is none.
func (r *Registry) EmailSender(ctx context.Context, a *v1alpha1.CompanyActivation) (string, error) {
	key := r.key(a, v1alpha1.ChannelEmail)
	if key.Name == "" {
		return "", nil
	}
	p, err := r.get(ctx, key)
	if provider.IsMisconfigured(err) {
		return "", nil // the deliveries will say so
	}
	if err != nil {
		return "", err
	}
	return p.Spec.Sender, nil
}

// key names the DeliveryProvider of a company's channel; its name is empty if there
// is none.
func (r *Registry) key(a *v1alpha1.CompanyActivation, channel v1alpha1.Channel) types.NamespacedName {
	if name := a.Spec.Providers.For(channel); name != "" {
		return types.NamespacedName{Namespace: a.Namespace, Name: name}
	}
	return r.Defaults[channel]
}

// get reads a DeliveryProvider. It may be the cache's own and must not be changed.
func (r *Registry) get(ctx context.Context, key types.NamespacedName) (*v1alpha1.DeliveryProvider, error) {
	p := new(v1alpha1.DeliveryProvider)
	switch err := r.Reader.Get(ctx, key, p, client.UnsafeDisableDeepCopy); {
	case apierrors.IsNotFound(err):
		r.forget(key)
		return nil, provider.Misconfigured("ProviderNotFound", fmt.Sprintf("There is no DeliveryProvider %s.", key))
	case err != nil:
		return nil, fmt.Errorf("reading a DeliveryProvider: %w", err)
	}
	return p, nil
}

// current returns the provider as it is now, with what protects it and others.
func (r *Registry) current(ctx context.Context, key types.NamespacedName, p *v1alpha1.DeliveryProvider) (*live, error) {
	secret, err := r.Builder.secret(ctx, p)
	if err != nil {
		return nil, r.named(key, err)
	}
	now := versionOf(p, secret)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, provider.Transient("Stopped", "The operator is stopping.", 0)
	}
	known := r.live[key]
	if known != nil && known.built.Version == now {
		return known, nil
	}
	if known != nil {
		r.Log.Info("Replacing a provider that changed", "provider", key)
	}
	built, err := r.Builder.build(p, secret)
	if err != nil {
		return nil, r.named(key, err)
	}
	r.drop(key)
	fresh := r.start(key, p, built)
	r.live[key] = fresh
	return fresh, nil
}

// start puts a provider to use.
func (r *Registry) start(key types.NamespacedName, p *v1alpha1.DeliveryProvider, built *Built) *live {
	kind, _ := p.Spec.Type()
	log := r.Log.WithValues("provider", key)
	config := delivery.GuardConfig{
		Concurrency: int(p.Spec.Concurrency),
		OnChange:    LogCircuit(log),
		Metrics:     r.Metrics.Of(key.String(), kind),
	}
	if limit := p.Spec.RateLimit; limit != nil {
		config.PerSecond, config.Burst = float64(limit.PerSecond), int(limit.Burst)
	}
	l := &live{built: built, guarded: delivery.NewGuard(built.Provider, config), metrics: config.Metrics, stop: func() {}}
	if built.run != nil {
		running, stop := context.WithCancel(context.Background())
		l.stop = stop
		r.runs.Go(func() { built.run(running) })
	}
	return l
}

// LogCircuit logs when a provider becomes unusable and usable again.
func LogCircuit(log logr.Logger) func(open bool) {
	return func(open bool) {
		if open {
			log.Info("The provider keeps failing and is left alone for a while")
		} else {
			log.Info("The provider works again")
		}
	}
}

// named adds to a classed error which DeliveryProvider it is about: one company may
// use several.
func (r *Registry) named(key types.NamespacedName, err error) error {
	var classed *provider.Error
	if errors.As(err, &classed) && provider.IsMisconfigured(err) {
		return provider.Misconfigured(classed.Reason, fmt.Sprintf("The DeliveryProvider %s can't be used: %s", key, classed.Error()))
	}
	return err
}

func (r *Registry) forget(key types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(key)
}

// drop closes a provider. The caller holds the lock.
func (r *Registry) drop(key types.NamespacedName) {
	if old := r.live[key]; old != nil {
		delete(r.live, key)
		old.metrics.Forget()
		old.stop()
		// Taking leave of a mail server takes time that nobody should wait for.
		r.runs.Go(old.built.Close)
	}
}

// Close closes all providers and waits until they are.
func (r *Registry) Close() {
	r.mu.Lock()
	r.closed = true
	for key := range r.live {
		r.drop(key)
	}
	r.mu.Unlock()
	r.runs.Wait()
}
