// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command layouts takes the pictures of the presets that the documentation shows, with
// Chromium:
//
//	go run ./hack/layouts docs/images
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"html"
	"image"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/config/presets"
	"github.com/rehive/extension-operator/internal/notify"
	"github.com/rehive/extension-operator/internal/platformevent"
	"github.com/rehive/extension-operator/internal/ruletest"
)

// picture is a preset as a reader sees it.
type picture struct {
	file, preset, layout, language string
	width, height                  int
	dark                           bool
}

var pictures = []picture{
	{"branded-light", "reset-password", "branded", "en", 640, 470, false},
	{"branded-dark", "reset-password", "branded", "en", 640, 470, true},
	{"branded-phone", "transaction-received", "branded", "en", 360, 520, false},
	{"branded-arabic", "transaction-received", "branded", "ar", 640, 470, false},
	{"plain-light", "transaction-received", "plain", "en", 640, 330, false},
	{"plain-dark", "transaction-received", "plain", "en", 640, 330, true},
}

const logo = `<svg xmlns="http://www.w3.org/2000/svg" width="150" height="40"><circle cx="20" cy="20" r="16" fill="#0b57d0"/>` +
	`<path d="M12 27V13l16 14V13" stroke="#fff" stroke-width="3" fill="none"/><text x="46" y="26" font-family="sans-serif" font-size="18" fill="#0b2a5b">Northwind</text></svg>`

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: layouts DIRECTORY")
		os.Exit(2)
	}
	for _, p := range pictures {
		if err := p.take(os.Args[1]); err != nil {
			fmt.Fprintf(os.Stderr, "layouts: %s: %v\n", p.file, err)
			os.Exit(1)
		}
	}
}

var userLanguage = regexp.MustCompile(`"language":\s*"[^"]*"`)

// render returns the HTML of the preset in its layout.
func (p *picture) render(ctx context.Context) (string, error) {
	templates, err := presets.Templates()
	if err != nil {
		return "", err
	}
	all, err := presets.Layouts()
	if err != nil {
		return "", err
	}
	var rule *notify.Rule
	var data []byte
	name := ""
	for i := range templates {
		if templates[i].Name != p.preset {
			continue
		}
		compiled, problems := notify.Compile(&v1alpha1.NotificationRule{Spec: templates[i].RuleSpec("northwind")})
		if problems != nil {
			return "", problems
		}
		rule, name = compiled, templates[i].Spec.Event
		data = userLanguage.ReplaceAll(platformevent.Lookup(name).Sample(), []byte(`"language":"`+p.language+`"`))
		data = bytes.ReplaceAll(data, []byte(`"tx_type": "debit"`), []byte(`"tx_type": "credit"`))
	}
	for i := range all {
		if all[i].Name == p.layout {
			layout, problems := notify.CompileLayout(&all[i])
			if problems != nil {
				return "", problems
			}
			rule = rule.WithLayout(layout)
		}
	}
	company := ruletest.Company
	company.Logo = "data:image/svg+xml;base64," + base64.StdEncoding.EncodeToString([]byte(logo))
	event, err := notify.NewEvent(name, company, data, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), nil)
	if err != nil {
		return "", err
	}
	event.Languages = func(_ context.Context, users []string) (map[string]string, error) {
		found := map[string]string{}
		for _, user := range users {
			found[user] = p.language
		}
		return found, nil
	}
	decision, err := (&notify.Compiled{Rule: rule}).Decide(ctx, event, "")
	if err != nil || len(decision.Messages) == 0 {
		return "", fmt.Errorf("no message: %w, %+v", err, decision)
	}
	return decision.Messages[0].HTML, nil
}

// take writes the picture to a directory.
func (p *picture) take(directory string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	source, err := p.render(ctx)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "layouts")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// Windows are at least 500 pixels wide, and frames are not.
	page := fmt.Sprintf(`<meta charset="utf-8"><meta name="color-scheme" content="light dark"><body style="margin:0"><iframe style="border:0;width:%dpx;height:%dpx" srcdoc="%s">`,
		p.width, p.height, html.EscapeString(source))
	if err := os.WriteFile(filepath.Join(work, "page.html"), []byte(page), 0o600); err != nil {
		return err
	}
	scheme := 1
	if p.dark {
		scheme = 0
	}
	shot := filepath.Join(work, "shot.png")
	command := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", //nolint:gosec // constants
		fmt.Sprintf("--blink-settings=preferredColorScheme=%d", scheme), fmt.Sprintf("--window-size=%d,%d", max(p.width, 600), p.height+200),
		"--user-data-dir="+work, "--screenshot="+shot, "file://"+filepath.Join(work, "page.html"))
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return crop(shot, filepath.Join(directory, p.file+".png"), p.width, p.height)
}

// crop writes the upper left part of an image.
func crop(from, to string, width, height int) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	whole, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	part := image.NewRGBA(image.Rect(0, 0, width, height))
	draw.Draw(part, part.Bounds(), whole, image.Point{}, draw.Src)
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, part); err != nil {
		return err
	}
	return os.WriteFile(to, out.Bytes(), 0o644) //nolint:gosec // a picture of the documentation
}
