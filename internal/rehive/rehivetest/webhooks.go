// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/rehive/extension-operator/internal/platformevent"
)

type webhook struct {
	Webhook
	company  *company
	service  *service
	failures int // 5xx answers in a row
	created  int64
	updated  int64
}

func listWebhooks(c *apiCall) answer {
	found := filter(c, c.company.webhooks, map[string]func(*webhook) string{
		"event":  func(w *webhook) string { return w.Event },
		"url":    func(w *webhook) string { return w.URL },
		"secret": func(w *webhook) string { return w.Secret },
	})
	return paginate(c, found, func(w *webhook) any { return webhookView(w) })
}

// webhookBody holds what may be written of a webhook.
type webhookBody struct {
	URL       string  `json:"url"`
	Event     string  `json:"event"`
	Secret    string  `json:"secret"`
	Condition *string `json:"condition"`
	Enabled   bool    `json:"enabled"`
	Archived  bool    `json:"archived"`
}

func (c *apiCall) checkWebhook(body webhookBody, self *webhook) (answer, bool) {
	u, err := url.Parse(body.URL)
	switch {
	case body.URL == "":
		return invalid("url", "This field is required."), false
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return invalid("url", "Enter a valid URL."), false
	case body.Event == "":
		return invalid("event", "This field is required."), false
	case !slices.Contains(platformevent.Platform(), body.Event) && !slices.Contains(c.p.opts.ExtraEvents, body.Event):
		return invalid("event", fmt.Sprintf("%q is not a valid choice.", body.Event)), false
	}
	for _, other := range c.company.byEvent[body.Event] {
		if other != self && other.URL == body.URL {
			return invalid("non_field_errors", "A webhook with the url and event already exists."), false
		}
	}
	return answer{}, true
}

func createWebhook(c *apiCall) answer {
	body := webhookBody{Secret: "secret", Enabled: true}
	if a, fine := c.decode(&body); !fine {
		return a
	}
	if a, fine := c.checkWebhook(body, nil); !fine {
		return a
	}
	now := c.p.nowMS()
	w := &webhook{company: c.company, service: c.user.service, created: now}
	w.ID = c.p.nextID("webhook")
	if w.service != nil {
		w.Service = w.service.ID
	}
	c.company.webhooks = append(c.company.webhooks, w)
	c.p.write(w, body)
	return created(webhookView(w))
}

// write stores the fields and keeps the index of events.
func (p *Platform) write(w *webhook, body webhookBody) {
	byEvent := w.company.byEvent
	if i := slices.Index(byEvent[w.Event], w); i >= 0 {
		byEvent[w.Event] = slices.Delete(byEvent[w.Event], i, i+1)
	}
	if body.Enabled && !w.Enabled {
		w.failures = 0
	}
	w.URL, w.Event, w.Secret, w.Condition = body.URL, body.Event, body.Secret, body.Condition
	w.Enabled, w.Archived, w.updated = body.Enabled, body.Archived, p.nowMS()
	byEvent[w.Event] = append(byEvent[w.Event], w)
}

func (c *apiCall) webhook() *webhook {
	id := c.pathID()
	i := slices.IndexFunc(c.company.webhooks, func(w *webhook) bool { return w.ID == id })
	if i < 0 {
		return nil
	}
	return c.company.webhooks[i]
}

// tied says that the webhook belongs to a service that is active or becoming
// so; the platform then refuses changes by any caller.
func (w *webhook) tied() bool {
	return w.service != nil && (w.service.Active || w.service.busy)
}

func tiedAnswer() answer {
	return refuse(http.StatusForbidden, "Webhooks of an active extension cannot be modified or deleted.")
}

func getWebhook(c *apiCall) answer {
	w := c.webhook()
	if w == nil {
		return notFound()
	}
	return ok(webhookView(w))
}

func changeWebhook(c *apiCall) answer {
	w := c.webhook()
	switch {
	case w == nil:
		return notFound()
	case w.tied():
		return tiedAnswer()
	}
	body := webhookBody{w.URL, w.Event, w.Secret, w.Condition, w.Enabled, w.Archived}
	if c.http.Method == http.MethodPut {
		body.URL, body.Event = "", ""
	}
	if a, fine := c.decode(&body); !fine {
		return a
	}
	if a, fine := c.checkWebhook(body, w); !fine {
		return a
	}
	c.p.write(w, body)
	return ok(webhookView(w))
}

func deleteWebhook(c *apiCall) answer {
	w := c.webhook()
	switch {
	case w == nil:
		return notFound()
	case w.tied():
		return tiedAnswer()
	}
	c.p.removeWebhook(w)
	return ok(nil)
}

func (p *Platform) removeWebhook(w *webhook) {
	same := func(other *webhook) bool { return other == w }
	w.company.webhooks = slices.DeleteFunc(w.company.webhooks, same)
	w.company.byEvent[w.Event] = slices.DeleteFunc(w.company.byEvent[w.Event], same)
	w.Enabled = false // what is still queued for it is dropped
}

// Webhooks lists a company's webhooks.
func (p *Platform) Webhooks(companyID string) []Webhook {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := []Webhook{}
	if c := p.companies[companyID]; c != nil {
		for _, w := range c.webhooks {
			all = append(all, w.Webhook)
		}
	}
	return all
}

// RemoveWebhook deletes a webhook without a call to the extension, even if it is tied to a
// service.
func (p *Platform) RemoveWebhook(companyID string, id int64) error {
	return p.withWebhook(companyID, id, p.removeWebhook)
}

// UpdateWebhook changes a webhook behind the extension's back.
func (p *Platform) UpdateWebhook(companyID string, id int64, change func(*Webhook)) error {
	return p.withWebhook(companyID, id, func(w *webhook) {
		changed := w.Webhook
		change(&changed)
		p.write(w, webhookBody{changed.URL, changed.Event, changed.Secret, changed.Condition, changed.Enabled, changed.Archived})
	})
}

func (p *Platform) withWebhook(companyID string, id int64, f func(*webhook)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return err
	}
	for _, w := range c.webhooks {
		if w.ID == id {
			f(w)
			return nil
		}
	}
	return fmt.Errorf("company %q has no webhook %d", companyID, id)
}

func listTasks(c *apiCall) answer {
	var own []*task
	for _, t := range c.p.tasks {
		if t.webhook.company == c.company {
			own = append(own, t)
		}
	}
	isNull := func(ms int64) string { return strconv.FormatBool(ms == 0) }
	found := filter(c, own, map[string]func(*task) string{
		"webhook":           func(t *task) string { return strconv.FormatInt(t.webhook.ID, 10) },
		"webhook__event":    func(t *task) string { return t.webhook.Event },
		"webhook__url":      func(t *task) string { return t.webhook.URL },
		"webhook__secret":   func(t *task) string { return t.webhook.Secret },
		"completed__isnull": func(t *task) string { return isNull(t.completed) },
		"failed__isnull":    func(t *task) string { return isNull(t.failed) },
	})
	return paginate(c, found, func(t *task) any { return taskView(t) })
}

func (c *apiCall) task() *task {
	id := c.pathID()
	i := slices.IndexFunc(c.p.tasks, func(t *task) bool { return t.id == id && t.webhook.company == c.company })
	if i < 0 {
		return nil
	}
	return c.p.tasks[i]
}

func getTask(c *apiCall) answer {
	t := c.task()
	if t == nil {
		return notFound()
	}
	view := taskView(t)
	view["data"] = t.data
	return ok(view)
}

func listTaskRequests(c *apiCall) answer {
	t := c.task()
	if t == nil {
		return notFound()
	}
	return paginate(c, t.attempts, func(a Attempt) any {
		return object{"response_code": a.Code, "error": orNull(a.Error), "created": a.Time.UnixMilli()}
	})
}
