// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package webhookserver

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/text/language"

	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/unsubscribe"
	"github.com/rehive/extension-operator/webhookserver/notifications"
	"github.com/rehive/extension-operator/webhookserver/rest"
)

const (
	// maxUnsubscribeBody is how much of a body is accepted. RFC 8058 sends some 30 bytes.
	maxUnsubscribeBody = 4 << 10
	// unsubscribeBudget is how long a request may take.
	unsubscribeBudget = 4 * time.Second
)

//go:embed unsubscribe.html
var unsubscribePage string

// unsubscribeTexts are the texts of the page in one language.
type unsubscribeTexts struct {
	title, question, button, done, invalid, unavailable string
}

// unsubscribeLanguages are the languages of the page: those of the presets, and Brazilian
// Portuguese. The first one is the default.
var unsubscribeLanguages = []language.Tag{language.English, language.French, language.Spanish, language.EuropeanPortuguese, language.BrazilianPortuguese, language.Arabic}

var pageTexts = map[language.Tag]unsubscribeTexts{
	language.English: {
		"Unsubscribe", "Do you no longer want to receive these messages?", "Unsubscribe",
		"You will no longer receive these messages.", "This link is invalid or has expired. Use the link in a newer message.",
		"This is not possible at the moment. Try again later.",
	},
	language.French: {
		"Se désabonner", "Vous ne souhaitez plus recevoir ces messages ?", "Se désabonner",
		"Vous ne recevrez plus ces messages.", "Ce lien n’est pas valide ou a expiré. Utilisez le lien d’un message plus récent.",
		"Cette opération est momentanément indisponible. Réessayez plus tard.",
	},
	language.Spanish: {
		"Cancelar la suscripción", "¿Ya no quiere recibir estos mensajes?", "Cancelar la suscripción",
		"Ya no recibirá estos mensajes.", "Este enlace no es válido o ha caducado. Use el enlace de un mensaje más reciente.",
		"No es posible en este momento. Inténtelo de nuevo más tarde.",
	},
	language.EuropeanPortuguese: {
		"Cancelar a subscrição", "Já não deseja receber estas mensagens?", "Cancelar a subscrição",
		"Não voltará a receber estas mensagens.", "Esta ligação não é válida ou expirou. Utilize a ligação de uma mensagem mais recente.",
		"De momento, não é possível. Tente novamente mais tarde.",
	},
	language.BrazilianPortuguese: {
		"Cancelar a inscrição", "Não quer mais receber estas mensagens?", "Cancelar a inscrição",
		"Você não receberá mais estas mensagens.", "Este link não é válido ou expirou. Use o link de uma mensagem mais recente.",
		"Não é possível no momento. Tente novamente mais tarde.",
	},
	language.Arabic: {
		"إلغاء الاشتراك", "ألم تعد ترغب في تلقي هذه الرسائل؟", "إلغاء الاشتراك",
		"لن تتلقى هذه الرسائل بعد الآن.", "هذا الرابط غير صالح أو انتهت صلاحيته. استخدم الرابط في رسالة أحدث.",
		"هذه الخدمة غير متاحة حاليًا. حاول مرة أخرى لاحقًا.",
	},
}

// unsubscriber serves the page behind unsubscribe links. Only a POST changes something:
// programs that check the links in emails send a GET.
type unsubscriber struct {
	server  *Server
	links   *unsubscribe.Links
	page    *template.Template
	matcher language.Matcher
}

func newUnsubscriber(s *Server, links *unsubscribe.Links) (*unsubscriber, error) {
	page, err := template.New("unsubscribe").Parse(unsubscribePage)
	if err != nil {
		return nil, fmt.Errorf("reading the page for unsubscribing: %w", err)
	}
	return &unsubscriber{server: s, links: links, page: page, matcher: language.NewMatcher(unsubscribeLanguages)}, nil
}

// ServeHTTP implements http.Handler.
func (u *unsubscriber) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.server.holdBack(r, longestHold)
	if r.Method != http.MethodPost {
		abandonBody(r)
	}
	ctx, cancel := context.WithTimeout(r.Context(), unsubscribeBudget)
	defer cancel()
	texts, tag := u.textsFor(r.Header.Get("Accept-Language"))
	answer := func(status int, text, name, button string) {
		u.write(w, r, tag, status, map[string]any{
			"Title": texts.title, "Text": text, "Name": name, "Button": button, "Done": r.Method == http.MethodPost,
		})
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodPost:
		// The body says nothing that the link doesn't, but it must be one that can be read.
		r.Body = http.MaxBytesReader(w, r.Body, maxUnsubscribeBody)
		if _, err := readBody(r); err != nil {
			status := http.StatusBadRequest
			if refusal := (*rest.Error)(nil); errors.As(err, &refusal) {
				status = refusal.Status
			}
			answer(status, texts.unavailable, "", "")
			return
		}
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		answer(http.StatusMethodNotAllowed, texts.invalid, "", "")
		return
	}
	claim, err := u.links.Check(r.PathValue("token"))
	if err != nil {
		answer(http.StatusNotFound, texts.invalid, "", "")
		return
	}
	rule, err := u.rule(ctx, &claim)
	switch {
	case err != nil:
		u.server.log.Error(err, "Reading the rule of an unsubscribe link failed", "company", claim.Company)
		answer(http.StatusServiceUnavailable, texts.unavailable, "", "")
	case rule == nil:
		answer(http.StatusNotFound, texts.invalid, "", "")
	case r.Method != http.MethodPost:
		answer(http.StatusOK, texts.question, rule.Rule.Spec.DisplayName, texts.button)
	default:
		if err := u.optOut(ctx, &claim, rule); err != nil {
			u.server.log.Error(err, "Storing an opt-out failed", "company", claim.Company)
			answer(http.StatusServiceUnavailable, texts.unavailable, "", "")
			return
		}
		answer(http.StatusOK, texts.done, rule.Rule.Spec.DisplayName, "")
	}
}

// rule returns the rule of a link; nil if the company is not active or has no such rule.
func (u *unsubscriber) rule(ctx context.Context, claim *unsubscribe.Claim) (*notifications.Notification, error) {
	a, err := u.server.activations.Find(ctx, claim.Company)
	if err != nil {
		return nil, fmt.Errorf("finding the company: %w", err)
	}
	if a == nil || !a.IsActive() {
		return nil, nil //nolint:nilnil // documented above
	}
	all, err := notifications.Of(ctx, u.server.client, a)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if unsubscribe.RuleIDOf(all[i].Name()) == claim.Rule {
			return &all[i], nil
		}
	}
	return nil, nil //nolint:nilnil // documented above
}

// optOut stores the same preference as the user API. It writes only if that changes
// something, because a link can be used any number of times.
func (u *unsubscriber) optOut(ctx context.Context, claim *unsubscribe.Claim, rule *notifications.Notification) error {
	preferences, err := u.server.ledger.Preferences(ctx, claim.Company, claim.User)
	if err != nil {
		return fmt.Errorf("reading the user's preferences: %w", err)
	}
	for _, p := range preferences {
		if p.Name == rule.Name() && !p.Enabled {
			return nil
		}
	}
	return u.server.ledger.SetPreference(ctx, ledger.Preference{
		Company: claim.Company, UserID: claim.User, Rule: ledger.Rule{Name: rule.Name(), UID: string(rule.Rule.UID)}, Enabled: false,
	})
}

// textsFor returns the texts in the language that the browser prefers.
func (u *unsubscriber) textsFor(accept string) (unsubscribeTexts, language.Tag) {
	const longest = 200 // browsers send some 30 bytes
	if len(accept) > longest {
		accept = ""
	}
	wanted, _, err := language.ParseAcceptLanguage(accept)
	if err != nil {
		wanted = nil
	}
	_, i, _ := u.matcher.Match(wanted...)
	return pageTexts[unsubscribeLanguages[i]], unsubscribeLanguages[i]
}

func (u *unsubscriber) write(w http.ResponseWriter, r *http.Request, tag language.Tag, status int, data map[string]any) {
	data["Language"], data["Direction"] = tag.String(), "ltr"
	if tag == language.Arabic {
		data["Direction"] = "rtl"
	}
	var page bytes.Buffer
	if err := u.page.Execute(&page, data); err != nil {
		u.server.log.Error(err, "Writing the page for unsubscribing failed")
		status = http.StatusInternalServerError
		page.Reset()
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", tag.String())
	h.Set("Content-Length", strconv.Itoa(page.Len()))
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Robots-Tag", "noindex")
	h.Set("Cache-Control", "no-store")
	h.Set("Vary", "Accept-Language")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(page.Bytes()) // the caller may be gone
	}
}
