// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/rehive/extension-operator/internal/check"
	"github.com/rehive/extension-operator/internal/rehive"
)

const (
	// tokenVariable may hold the token of a company's admin.
	tokenVariable = "REHIVE_TOKEN" //nolint:gosec // the name of a variable
	// maxAdminToken bounds a token in bytes.
	maxAdminToken = 4 << 10
	// platformTimeout bounds one call of the platform, which waits for the operator when it
	// switches an extension on.
	platformTimeout = 30 * time.Second
)

// registration is what the command register was asked for.
type registration struct {
	publicURL, platformURL, name, tokenFile string
	activate, yes                           bool
}

func (o *options) registerCommand() *cobra.Command {
	r := &registration{}
	command := &cobra.Command{
		Use:   "register --url URL",
		Short: "Add the extension to a company on Rehive, with the permissions that it needs",
		Long: `Adds the operator as an extension (a service) of a company on Rehive, gives it exactly the
permissions that it needs, and switches it on. The command shows what it would change; with
--yes, it makes the changes. It leaves alone what is right already, so it can be repeated.

The token of an admin of the company is read from the variable REHIVE_TOKEN, from --token-file
or from the standard input, never from the command line, which other users of the machine see.
It is not stored.`,
		Example: `  kubectl rehive register --url https://notifications.shop.example < token
  REHIVE_TOKEN=… kubectl rehive register --url https://notifications.shop.example --yes`,
		Args: cobra.NoArgs,
	}
	flags := command.Flags()
	flags.StringVar(&r.publicURL, "url", "", "the operator's public URL, as in its --public-url (required)")
	flags.StringVar(&r.platformURL, "rehive-api-url", rehive.DefaultBaseURL, "URL of the Rehive API")
	flags.StringVar(&r.name, "name", "Notifications", "name of the extension, if it is added")
	flags.StringVar(&r.tokenFile, "token-file", "-", "file with the admin's token; - is the standard input")
	flags.BoolVar(&r.activate, "activate", true, "switch the extension on")
	flags.BoolVarP(&r.yes, "yes", "y", false, "make the changes")
	_ = command.MarkFlagRequired("url")
	command.RunE = func(command *cobra.Command, _ []string) error {
		return o.register(command.Context(), r)
	}
	return command
}

// adminToken reads the token of a company's admin.
func (o *options) adminToken(file string) (string, error) {
	if token := os.Getenv(tokenVariable); token != "" {
		return strings.TrimSpace(token), nil
	}
	var raw []byte
	var err error
	input, isFile := o.In.(*os.File)
	switch {
	case file != "-":
		var opened *os.File
		if opened, err = os.Open(file); err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		raw, err = io.ReadAll(io.LimitReader(opened, maxAdminToken+1))
		err = errors.Join(err, opened.Close())
	case isFile && term.IsTerminal(int(input.Fd())):
		fmt.Fprint(o.ErrOut, "Token of an admin of the company: ")
		raw, err = term.ReadPassword(int(input.Fd()))
		fmt.Fprintln(o.ErrOut)
	default:
		raw, err = io.ReadAll(io.LimitReader(o.In, maxAdminToken+1))
	}
	if err != nil {
		return "", fmt.Errorf("reading the token: %w", err)
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || len(raw) > maxAdminToken {
		return "", fmt.Errorf("the token of an admin of the company is required, in the variable %s, a file or the standard input", tokenVariable)
	}
	return string(raw), nil
}

// extensionURL returns the URL that Rehive calls: the operator's public URL with api/.
func extensionURL(public string) (string, error) {
	u, err := url.Parse(public)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("--url must be the operator's public URL, such as https://notifications.shop.example, not %q", public)
	}
	return strings.TrimSuffix(strings.TrimRight(public, "/"), "/api") + "/api/", nil
}

func (o *options) register(ctx context.Context, r *registration) error {
	extension, err := extensionURL(r.publicURL)
	if err != nil {
		return err
	}
	token, err := o.adminToken(r.tokenFile)
	if err != nil {
		return err
	}
	platform, err := rehive.New(r.platformURL, rehive.WithVersion(version), rehive.WithTimeout(platformTimeout))
	if err != nil {
		return fmt.Errorf("--rehive-api-url: %w", err)
	}
	defer platform.CloseIdleConnections()
	session := platform.WithToken(token)
	user, err := session.Auth(ctx)
	if err != nil {
		return err
	}
	plan, err := planRegistration(ctx, session, r, extension)
	if err != nil {
		return err
	}
	fmt.Fprintf(o.Out, "Company %s, extension %s\n", check.Printable(user.Company), extension)
	if len(plan.steps) == 0 {
		fmt.Fprintln(o.Out, "Everything is set up already.")
		return nil
	}
	for _, s := range plan.steps {
		if !r.yes {
			fmt.Fprintln(o.Out, "would", check.Printable(s.text))
			continue
		}
		if err := s.do(ctx); err != nil {
			return err
		}
		fmt.Fprintln(o.Out, "done:", check.Printable(s.text))
	}
	if !r.yes {
		fmt.Fprintln(o.ErrOut, "Nothing was changed. Repeat the command with --yes to make these changes.")
		return errFindings
	}
	return nil
}

// step is one change on the platform.
type step struct {
	text string
	do   func(context.Context) error
}

// registrationPlan are the changes that register an extension. service is its ID once it is
// known.
type registrationPlan struct {
	service int64
	steps   []step
}

func (p *registrationPlan) add(text string, do func(context.Context) error) {
	p.steps = append(p.steps, step{text, do})
}

// planRegistration compares what the company has with what the operator needs.
func planRegistration(ctx context.Context, session rehive.Session, r *registration, extension string) (*registrationPlan, error) {
	services, err := session.Services(ctx)
	if err != nil {
		return nil, err
	}
	plan := &registrationPlan{}
	active := false
	var granted []rehive.Permission
	for _, s := range services {
		if strings.TrimRight(s.URL, "/")+"/" != extension {
			continue
		}
		if plan.service != 0 && !s.Active {
			continue // prefer the one that is active
		}
		plan.service, active = s.ID, s.Active
	}
	if plan.service != 0 {
		if granted, err = session.Permissions(ctx, plan.service); err != nil {
			return nil, err
		}
	} else {
		plan.add(fmt.Sprintf("add the extension %q", r.name), func(ctx context.Context) error {
			created, err := session.CreateService(ctx, rehive.ServiceRequest{Name: r.name, URL: extension})
			if err != nil {
				return err
			}
			plan.service = created.ID
			return nil
		})
	}
	var missing []rehive.Permission
	var names []string
	for _, p := range rehive.RequiredPermissions() {
		if !slices.ContainsFunc(granted, func(g rehive.Permission) bool { return samePermission(g, p) }) {
			missing, names = append(missing, p), append(names, permissionName(p))
		}
	}
	if len(missing) > 0 {
		plan.add("grant "+strings.Join(names, ", "), func(ctx context.Context) error {
			return session.AddPermissions(ctx, plan.service, missing)
		})
	}
	for _, g := range granted {
		if !slices.ContainsFunc(rehive.RequiredPermissions(), func(p rehive.Permission) bool { return samePermission(g, p) }) {
			plan.add("remove the permission "+permissionName(g)+", which the operator does not need", func(ctx context.Context) error {
				return session.DeletePermission(ctx, plan.service, g.ID)
			})
		}
	}
	if r.activate && !active {
		plan.add("switch the extension on", func(ctx context.Context) error {
			return session.ActivateService(ctx, plan.service)
		})
	}
	return plan, nil
}

func samePermission(a, b rehive.Permission) bool {
	return a.Section == b.Section && a.Type == b.Type && a.Level == b.Level
}

func permissionName(p rehive.Permission) string {
	return p.Section + "." + p.Type + "." + p.Level
}
