// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package providers

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"golang.org/x/net/publicsuffix"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/address"
)

// Domains knows which company may send email from which domain through the operator's
// own providers. It follows the CompanyActivations in a cache and is safe for concurrent
// use.
//
// A company may use the domains in spec.senderDomains, which the platform team writes.
// It may also use the domain of its system email, unless that proves nothing: an admin
// of the company sets the system email on Rehive without any confirmation. So the
// domain must not be one of a mailbox provider, a public suffix, the operator's own, or
// one that another company has, in whole or in part.
type Domains struct {
	trustSystemEmail bool
	synced           <-chan struct{}

	mu    sync.RWMutex
	known map[types.NamespacedName]held
	// exact holds, by domain, the activations that have it; below those that have a
	// domain below it.
	exact, below map[string]holders
}

// held are the domains of one activation.
type held struct {
	company string
	granted []string // spec.senderDomains
	claimed string   // of the system email; empty if that proves nothing
}

// holders are activations and their companies: several activations may name one
// company.
type holders map[types.NamespacedName]string

// other reports whether another company is among the holders.
func (h holders) other(company string) bool {
	for _, holder := range h {
		if holder != company {
			return true
		}
	}
	return false
}

// NewDomains begins to follow a cache, which need not be started yet. Without
// trustSystemEmail only spec.senderDomains counts.
func NewDomains(ctx context.Context, c cache.Cache, trustSystemEmail bool) (*Domains, error) {
	d := newDomains(trustSystemEmail)
	informer, err := c.GetInformer(ctx, &v1alpha1.CompanyActivation{}, cache.BlockUntilSynced(false))
	if err != nil {
		return nil, fmt.Errorf("watching CompanyActivations: %w", err)
	}
	put := func(object any) {
		if a, ok := object.(*v1alpha1.CompanyActivation); ok {
			d.put(a)
		}
	}
	registration, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    put,
		UpdateFunc: func(_, updated any) { put(updated) },
		DeleteFunc: func(deleted any) {
			if tombstone, ok := deleted.(toolscache.DeletedFinalStateUnknown); ok {
				deleted = tombstone.Obj
			}
			if a, ok := deleted.(*v1alpha1.CompanyActivation); ok {
				d.mu.Lock()
				defer d.mu.Unlock()
				d.drop(client.ObjectKeyFromObject(a))
			}
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watching CompanyActivations: %w", err)
	}
	d.synced = registration.HasSyncedChecker().Done()
	return d, nil
}

func newDomains(trustSystemEmail bool) *Domains {
	return &Domains{
		trustSystemEmail: trustSystemEmail,
		known:            make(map[types.NamespacedName]held),
		exact:            make(map[string]holders), below: make(map[string]holders),
	}
}

// Allows tells whether a company may send from a domain, in ASCII and lower case,
// through a provider of the operator whose own sender is at the domain operator, which
// may be empty. It waits until the cache has filled; there is no other error than that
// ctx ended before.
func (d *Domains) Allows(ctx context.Context, a *v1alpha1.CompanyActivation, domain, operator string) (bool, error) {
	select {
	case <-d.synced:
	default:
		select {
		case <-d.synced:
		case <-ctx.Done():
			return false, fmt.Errorf("waiting for the cache to fill: %w", ctx.Err())
		}
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	holding := d.known[client.ObjectKeyFromObject(a)]
	for _, granted := range holding.granted {
		if granted == domain || isBelow(domain, granted) {
			return true, nil
		}
	}
	if !d.trustSystemEmail || holding.claimed == "" || holding.claimed != domain {
		return false, nil
	}
	if operator != "" && (operator == domain || isBelow(domain, operator) || isBelow(operator, domain)) {
		return false, nil
	}
	if d.exact[domain].other(holding.company) || d.below[domain].other(holding.company) {
		return false, nil
	}
	for parent := range parents(domain) {
		if d.exact[parent].other(holding.company) {
			return false, nil
		}
	}
	return true, nil
}

func (d *Domains) put(a *v1alpha1.CompanyActivation) {
	holding := held{company: a.Spec.Company}
	for _, domain := range a.Spec.SenderDomains {
		holding.granted = append(holding.granted, strings.ToLower(domain))
	}
	if email, err := address.Parse(strings.TrimSpace(a.Status.CompanyInfo.SystemEmail)); err == nil && provesSomething(email.Domain) {
		holding.claimed = email.Domain
	}
	name := client.ObjectKeyFromObject(a)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(name)
	d.known[name] = holding
	for _, domain := range holding.all() {
		add(d.exact, domain, name, holding.company)
		for parent := range parents(domain) {
			add(d.below, parent, name, holding.company)
		}
	}
}

// drop forgets an activation. The caller holds the lock.
func (d *Domains) drop(name types.NamespacedName) {
	holding := d.known[name]
	delete(d.known, name)
	for _, domain := range holding.all() {
		remove(d.exact, domain, name)
		for parent := range parents(domain) {
			remove(d.below, parent, name)
		}
	}
}

func (h *held) all() []string {
	if h.claimed == "" {
		return h.granted
	}
	return append(h.granted[:len(h.granted):len(h.granted)], h.claimed)
}

func add(index map[string]holders, domain string, name types.NamespacedName, company string) {
	if index[domain] == nil {
		index[domain] = make(holders, 1)
	}
	index[domain][name] = company
}

func remove(index map[string]holders, domain string, name types.NamespacedName) {
	delete(index[domain], name)
	if len(index[domain]) == 0 {
		delete(index, domain)
	}
}

// parents yields the domains above a domain, the nearest first.
func parents(domain string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for {
			_, parent, found := strings.Cut(domain, ".")
			if !found || !yield(parent) {
				return
			}
			domain = parent
		}
	}
}

func isBelow(domain, parent string) bool { return strings.HasSuffix(domain, "."+parent) }

// provesSomething is false for domains at which anybody can have an address or a name.
func provesSomething(domain string) bool {
	if suffix, _ := publicsuffix.PublicSuffix(domain); suffix == domain {
		return false
	}
	if mailboxProviders[domain] {
		return false
	}
	for parent := range parents(domain) {
		if mailboxProviders[parent] {
			return false
		}
	}
	first, _, _ := strings.Cut(domain, ".")
	return !mailboxBrands[first]
}

// mailboxBrands are the first labels of mailbox providers that have a domain in many
// countries, such as yahoo.co.uk.
var mailboxBrands = setOf("aol gmx hotmail live outlook yahoo yandex")

// mailboxProviders give addresses to anybody, for free or to customers of an Internet
// connection.
var mailboxProviders = setOf(`
	126.com 139.com 163.com 189.cn 1und1.de aliyun.com arcor.de att.net bellsouth.net bigpond.com bigpond.net.au bk.ru bluewin.ch
	bol.com.br bt.com btinternet.com centrum.cz charter.net comcast.net cox.net daum.net disroot.org duck.com earthlink.net email.cz
	email.com fastmail.com fastmail.fm fibertel.com.ar foxmail.com free.fr freemail.hu freenet.de globo.com gmail.com googlemail.com
	guerrillamail.com hanmail.net hey.com hushmail.com icloud.com ig.com.br inbox.com inbox.lv inbox.ru interia.pl iprimus.com.au
	juno.com kakao.com laposte.net libero.it list.ru mac.com mail.com mail.ru mailbox.org mailinator.com me.com msn.com mweb.co.za
	naver.com netzero.net ntlworld.com o2.pl onet.pl online.de onmail.com optonline.net optusnet.com.au orange.fr passport.com
	pm.me posteo.de proton.me protonmail.ch protonmail.com qq.com rambler.ru rediffmail.com rocketmail.com runbox.com sapo.pt
	sbcglobal.net seznam.cz sfr.fr shaw.ca sina.cn sina.com sky.com skynet.be sohu.com startmail.com t-online.de talktalk.net
	telenet.be telkomsa.net telus.net temp-mail.org terra.com.br tiscali.co.uk tiscali.it tuta.com tuta.io tutamail.com tutanota.com
	tutanota.de ukr.net uol.com.br vip.qq.com virgilio.it virgin.net virginmedia.com vodamail.co.za wanadoo.fr web.de webmail.co.za
	windowslive.com wp.pl xs4all.nl xtra.co.nz ya.ru yeah.net ymail.com yopmail.com zoho.com zohomail.com zohomail.eu`)

func setOf(words string) map[string]bool {
	set := make(map[string]bool)
	for word := range strings.FieldsSeq(words) {
		set[word] = true
	}
	return set
}
