// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command rehive-simulator runs a simulated Rehive platform for trying out an extension
// manually. See package rehivetest for its features.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

type options struct {
	listen       string
	seed         bool
	extensionURL string
	compression  float64
	throttle     int
	workers      int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "rehive-simulator:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	opts, err := parse(args)
	if err != nil {
		return err
	}
	platform := rehivetest.New(rehivetest.Options{Workers: opts.workers, RetryCompression: opts.compression})
	defer platform.Close()
	if err := platform.Start(opts.listen); err != nil {
		return err
	}
	if opts.throttle > 0 {
		platform.SetThrottle(opts.throttle, time.Minute)
	}
	say := func(format string, values ...any) { _, _ = fmt.Fprintf(out, format+"\n", values...) }
	say("Platform API:  %s", platform.URL())
	say("Control API:   %s", platform.ControlURL())
	if opts.seed {
		if err := seed(platform, opts.extensionURL, say); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

func seed(platform *rehivetest.Platform, extensionURL string, say func(string, ...any)) error {
	seeded, err := platform.Seed()
	if err != nil {
		return err
	}
	say("Company:       %s", seeded.Company)
	say("Admin token:   %s", seeded.Admin.Token)
	for _, customer := range seeded.Customers {
		say("Customer:      %s (%s), token %s", customer.Email, customer.ID, customer.Token)
	}
	if extensionURL == "" {
		return nil
	}
	service, err := platform.AddService(seeded.Company, rehivetest.Service{Name: "Notifications", URL: extensionURL})
	if err != nil {
		return err
	}
	say("Extension:     service %d at %s, inactive; to activate it as an admin would:", service.ID, service.URL)
	say(`  curl -X PATCH -H 'Authorization: Token %s' -H 'Content-Type: application/json' -d '{"active":true}' %sadmin/services/%d/`,
		seeded.Admin.Token, platform.URL(), service.ID)
	return nil
}

func parse(args []string) (options, error) {
	var opts options
	flags := flag.NewFlagSet("rehive-simulator", flag.ContinueOnError)
	flags.StringVar(&opts.listen, "listen", "127.0.0.1:8300", "`address` to serve on; the control API has no authentication, so keep it on loopback")
	flags.BoolVar(&opts.seed, "seed", true, "start with the company demo, an admin and two customers")
	flags.StringVar(&opts.extensionURL, "extension-url", "", "register an extension at this `URL`, such as http://127.0.0.1:8080/api/, with the demo company")
	flags.Float64Var(&opts.compression, "retry-compression", 60, "`factor` that the delays between webhook attempts are divided by; 1 for Rehive's own")
	flags.IntVar(&opts.throttle, "throttle", 0, "`calls` a minute that each token may make; 0 for no limit")
	flags.IntVar(&opts.workers, "workers", 32, "webhook attempts at one time")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if _, _, err := net.SplitHostPort(opts.listen); err != nil {
		return options{}, fmt.Errorf("--listen must be host:port, not %q", opts.listen)
	}
	if opts.compression < 1 {
		return options{}, fmt.Errorf("--retry-compression must be 1 or more, not %g", opts.compression)
	}
	if opts.throttle < 0 || opts.workers < 1 {
		return options{}, errors.New("--throttle must not be negative and --workers must be positive")
	}
	if opts.extensionURL != "" {
		u, err := url.Parse(opts.extensionURL)
		if err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http") {
			return options{}, errors.New("--extension-url must be an http:// or https:// URL")
		}
		if !opts.seed {
			return options{}, errors.New("--extension-url needs --seed: without the demo company there is nobody to register it with")
		}
	}
	return opts, nil
}
