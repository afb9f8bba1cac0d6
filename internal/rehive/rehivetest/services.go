// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehivetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

var errBusy = &ExtensionError{"The extension is being changed already."}

// AddService registers an extension with a company, inactive, with the
// MinimumPermissions.
func (p *Platform) AddService(companyID string, spec Service) (Service, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return Service{}, err
	}
	return p.addService(c, spec).Service, nil
}

func (p *Platform) addService(c *company, spec Service) *service {
	spec.ID = p.nextID("service")
	spec.Active, spec.User, spec.Token = false, "", ""
	setDefault(&spec.Name, "Notifications")
	setDefault(&spec.Slug, strings.ReplaceAll(strings.ToLower(spec.Name), " ", "_")+"_service")
	s := &service{Service: spec, company: c}
	p.grant(s, MinimumPermissions())
	c.services = append(c.services, s)
	return s
}

func (p *Platform) grant(s *service, permissions []Permission) []Permission {
	var added []Permission
	for _, permission := range permissions {
		permission.ID = p.nextID("permission")
		s.permissions = append(s.permissions, permission)
		added = append(added, permission)
	}
	return added
}

// SetPermissions replaces what the service's user may do.
func (p *Platform) SetPermissions(companyID string, serviceID int64, permissions []Permission) error {
	return p.withService(companyID, serviceID, func(s *service) error {
		s.permissions = nil
		p.grant(s, permissions)
		return nil
	})
}

// Service returns a service with its present token.
func (p *Platform) Service(companyID string, serviceID int64) (found Service, err error) {
	err = p.withService(companyID, serviceID, func(s *service) error {
		found = s.Service
		return nil
	})
	return found, err
}

// Services lists a company's services.
func (p *Platform) Services(companyID string) []Service {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := []Service{}
	if c := p.companies[companyID]; c != nil {
		for _, s := range c.services {
			all = append(all, s.Service)
		}
	}
	return all
}

func (p *Platform) withService(companyID string, serviceID int64, f func(*service) error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return err
	}
	s, err := c.service(serviceID)
	if err != nil {
		return err
	}
	return f(s)
}

// Activate does what the platform does when an admin activates the service. If the
// extension fails, the error, which the admin sees, is an *ExtensionError.
func (p *Platform) Activate(ctx context.Context, companyID string, serviceID int64) error {
	return p.withService(companyID, serviceID, func(s *service) error { return p.activate(ctx, s) })
}

// Deactivate does what the platform does when an admin switches it off.
func (p *Platform) Deactivate(ctx context.Context, companyID string, serviceID int64) error {
	return p.withService(companyID, serviceID, func(s *service) error { return p.deactivate(ctx, s, false) })
}

// RotateToken gives the service's user a new token and notifies the extension. The
// old token is valid until the extension has accepted the new one.
func (p *Platform) RotateToken(ctx context.Context, companyID string, serviceID int64) error {
	return p.withService(companyID, serviceID, func(s *service) error {
		switch {
		case s.busy:
			return errBusy
		case !s.Active:
			return fmt.Errorf("service %d is not active", s.ID)
		}
		token := newToken()
		p.tokens[token] = s.user
		if err := p.callExtension(ctx, s, "rotate/", object{"token": token}); err != nil {
			delete(p.tokens, token)
			return err
		}
		delete(p.tokens, s.Token)
		s.Token, s.user.Token = token, token
		return nil
	})
}

// RemoveCompany removes a company: its active services are deactivated with
// purge, whatever they answer, and their first complaint is returned.
func (p *Platform) RemoveCompany(ctx context.Context, companyID string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, err := p.company(companyID)
	if err != nil {
		return err
	}
	var complaint error
	for _, s := range slices.Clone(c.services) {
		if s.Active {
			if err := p.deactivate(ctx, s, true); err != nil && complaint == nil {
				complaint = err
			}
		}
	}
	for _, w := range slices.Clone(c.webhooks) {
		p.removeWebhook(w)
	}
	for token, u := range p.tokens {
		if u.company == c {
			delete(p.tokens, token)
		}
	}
	delete(p.companies, c.ID)
	p.order = slices.DeleteFunc(p.order, func(other *company) bool { return other == c })
	return complaint
}

func (p *Platform) activate(ctx context.Context, s *service) error {
	switch {
	case s.busy:
		return errBusy
	case s.Active:
		return nil
	}
	token := newToken()
	if s.user != nil && p.opts.ReuseServiceUser {
		s.user.Deactivated = false
		s.user.Token = token
		p.tokens[token] = s.user
	} else {
		u, err := p.addUser(s.company, User{Group: "service", FirstName: s.Name, Token: token})
		if err != nil {
			return err
		}
		u.service = s
		s.user = u
	}
	s.Token, s.User = token, s.user.ID
	if err := p.callExtension(ctx, s, "activate/", object{"token": token}); err != nil {
		p.disable(s)
		return err
	}
	s.Active = true
	return nil
}

func (p *Platform) deactivate(ctx context.Context, s *service, purge bool) error {
	switch {
	case s.busy:
		return errBusy
	case !s.Active:
		return nil
	}
	body := object{"token": s.Token}
	if purge {
		body["purge"] = true
	}
	if err := p.callExtension(ctx, s, "deactivate/", body); err != nil {
		return err
	}
	s.Active = false
	p.disable(s)
	return nil
}

// disable ends the service user and its tokens.
func (p *Platform) disable(s *service) {
	for token, u := range p.tokens {
		if u == s.user {
			delete(p.tokens, token)
		}
	}
	s.user.Deactivated, s.user.Token, s.Token = true, "", ""
}

// callExtension posts to the extension without the platform's lock, because the
// extension calls back. A failure is reported in one of the platform's three forms.
func (p *Platform) callExtension(ctx context.Context, s *service, path string, body object) error {
	s.busy = true
	target := strings.TrimRight(s.URL, "/") + "/" + path
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		s.busy = false
	}()

	unable := &ExtensionError{"Unable to connect to " + target + "."}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	defer p.clock.AfterFunc(lifecycleTimeout, cancel)()
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(encoded))
	if err != nil {
		return unable
	}
	p.setHeaders(req)
	resp, err := p.client.Do(req)
	if err != nil {
		return unable
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return unable
	}
	if resp.StatusCode == http.StatusOK || resp.StatusCode == http.StatusCreated {
		return nil
	}
	var told struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &told) == nil && told.Message != "" {
		return &ExtensionError{told.Message}
	}
	return &ExtensionError{"Received a " + strconv.Itoa(resp.StatusCode) + " response."}
}

func (p *Platform) setHeaders(req *http.Request) {
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "rehive-platform/"+p.opts.Version)
}

func listServices(c *apiCall) answer {
	found := filter(c, c.company.services, map[string]func(*service) string{
		"active": func(s *service) string { return strconv.FormatBool(s.Active) },
		"slug":   func(s *service) string { return s.Slug },
		"type":   func(*service) string { return "private" },
	})
	return paginate(c, found, func(s *service) any { return serviceView(s) })
}

func (c *apiCall) service() *service {
	s, err := c.company.service(c.pathID())
	if err != nil {
		return nil
	}
	return s
}

func getService(c *apiCall) answer {
	s := c.service()
	if s == nil {
		return notFound()
	}
	return ok(serviceView(s))
}

type serviceBody struct {
	Name        string `json:"name"`
	URL         string `json:"url"`
	Description string `json:"description"`
	Active      *bool  `json:"active"`
}

func (b serviceBody) check() (answer, bool) {
	u, err := url.Parse(b.URL)
	switch {
	case b.Name == "":
		return invalid("name", "This field is required."), false
	case b.URL == "":
		return invalid("url", "This field is required."), false
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return invalid("url", "Enter a valid URL."), false
	}
	return answer{}, true
}

func createService(c *apiCall) answer {
	var body serviceBody
	if a, fine := c.decode(&body); !fine {
		return a
	}
	if a, fine := body.check(); !fine {
		return a
	}
	s := c.p.addService(c.company, Service{Name: body.Name, URL: body.URL, Description: body.Description})
	return created(serviceView(s))
}

// changeService is also how an admin activates and deactivates an extension.
func changeService(c *apiCall) answer {
	s := c.service()
	if s == nil {
		return notFound()
	}
	body := serviceBody{Name: s.Name, URL: s.URL, Description: s.Description}
	if a, fine := c.decode(&body); !fine {
		return a
	}
	if a, fine := body.check(); !fine {
		return a
	}
	if body.Active == nil && c.http.Method == http.MethodPut {
		return invalid("active", "This field is required.")
	}
	s.Name, s.URL, s.Description = body.Name, body.URL, body.Description
	if body.Active != nil {
		var err error
		if *body.Active {
			err = c.p.activate(c.http.Context(), s)
		} else {
			err = c.p.deactivate(c.http.Context(), s, false)
		}
		if err != nil {
			return invalid("non_field_errors", err.Error())
		}
	}
	return ok(serviceView(s))
}

func deleteService(c *apiCall) answer {
	s := c.service()
	switch {
	case s == nil:
		return notFound()
	case s.Active || s.busy:
		return refuse(http.StatusBadRequest, "An active extension cannot be deleted.")
	}
	c.company.services = slices.DeleteFunc(c.company.services, func(other *service) bool { return other == s })
	return ok(nil)
}

func listPermissions(c *apiCall) answer {
	s := c.service()
	if s == nil {
		return notFound()
	}
	return paginate(c, s.permissions, func(permission Permission) any { return permission })
}

func addPermissions(c *apiCall) answer {
	s := c.service()
	if s == nil {
		return notFound()
	}
	var body struct {
		Permissions []Permission `json:"permissions"`
	}
	if a, fine := c.decode(&body); !fine {
		return a
	}
	if len(body.Permissions) == 0 {
		return invalid("permissions", "This field is required.")
	}
	for _, permission := range body.Permissions {
		if !slices.Contains([]string{"system", "admin", "user"}, permission.Section) ||
			!slices.Contains([]string{"view", "add", "change", "delete"}, permission.Level) || permission.Type == "" {
			return invalid("permissions", "Invalid permission.")
		}
	}
	return created(object{"permissions": c.p.grant(s, body.Permissions)})
}

func (c *apiCall) permission() (*service, int) {
	s := c.service()
	if s == nil {
		return nil, -1
	}
	return s, slices.IndexFunc(s.permissions, func(permission Permission) bool {
		return strconv.FormatInt(permission.ID, 10) == c.http.PathValue("permission")
	})
}

func getPermission(c *apiCall) answer {
	s, i := c.permission()
	if i < 0 {
		return notFound()
	}
	return ok(s.permissions[i])
}

func deletePermission(c *apiCall) answer {
	s, i := c.permission()
	if i < 0 {
		return notFound()
	}
	s.permissions = slices.Delete(slices.Clone(s.permissions), i, i+1)
	return ok(nil)
}
