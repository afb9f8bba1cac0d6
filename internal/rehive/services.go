// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package rehive

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

// Service is an extension as an admin of a company sees it.
type Service struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	URL    string `json:"url"`
	Active bool   `json:"active"`
}

// ServiceRequest adds an extension.
type ServiceRequest struct {
	Name        string `json:"name"`
	URL         string `json:"url"`
	Description string `json:"description,omitempty"`
}

// Permission is what an extension's user may do.
type Permission struct {
	ID      int64  `json:"id,omitempty"`
	Section string `json:"section"`
	Type    string `json:"type"`
	Level   string `json:"level"` // view, add, change or delete
}

// RequiredPermissions returns the permissions that the operator needs of a company.
// docs/registering.md says why.
func RequiredPermissions() []Permission {
	all := []Permission{{Type: "company", Level: "view"}}
	for _, level := range []string{"view", "add", "change", "delete"} {
		all = append(all, Permission{Type: "webhook", Level: level})
	}
	for _, kind := range []string{"transaction", "user", "device"} {
		all = append(all, Permission{Type: kind, Level: "view"})
	}
	for i := range all {
		all[i].Section = "admin"
	}
	return all
}

func servicePath(id int64, more ...string) []string {
	return append([]string{"admin", "services", strconv.FormatInt(id, 10)}, more...)
}

// Services lists the extensions of the company, active or not.
func (s Session) Services(ctx context.Context) ([]Service, error) {
	in := call{op: "listing extensions", path: []string{"admin", "services"}, query: url.Values{}}
	return list(ctx, s, in, func(s Service) int64 { return s.ID })
}

// CreateService adds an extension to the company, inactive.
func (s Session) CreateService(ctx context.Context, request ServiceRequest) (*Service, error) {
	const op = "adding the extension"
	service := new(Service)
	if err := s.do(ctx, call{op: op, method: http.MethodPost, path: []string{"admin", "services"}, body: request}, service); err != nil {
		return nil, err
	}
	if service.ID == 0 {
		return nil, garbled(op, http.StatusCreated, "the answer names no extension")
	}
	return service, nil
}

// ActivateService switches an extension on. The platform calls the extension meanwhile, and
// its refusal is the error.
func (s Session) ActivateService(ctx context.Context, id int64) error {
	body := map[string]bool{"active": true}
	return s.do(ctx, call{op: "switching the extension on", method: http.MethodPatch, path: servicePath(id), body: body}, nil)
}

// Permissions lists the permissions of an extension.
func (s Session) Permissions(ctx context.Context, service int64) ([]Permission, error) {
	in := call{op: "listing the permissions of the extension", path: servicePath(service, "permissions"), query: url.Values{}}
	return list(ctx, s, in, func(p Permission) int64 { return p.ID })
}

// AddPermissions grants an extension permissions.
func (s Session) AddPermissions(ctx context.Context, service int64, permissions []Permission) error {
	body := map[string][]Permission{"permissions": permissions}
	return s.do(ctx, call{op: "granting permissions to the extension", method: http.MethodPost, path: servicePath(service, "permissions"), body: body}, nil)
}

// DeletePermission takes a permission from an extension.
func (s Session) DeletePermission(ctx context.Context, service, permission int64) error {
	path := servicePath(service, "permissions", strconv.FormatInt(permission, 10))
	return s.do(ctx, call{op: "removing a permission of the extension", method: http.MethodDelete, path: path}, nil)
}
