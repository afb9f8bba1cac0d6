// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rehive/extension-operator/internal/rehive/rehivetest"
)

// documentedPage says how the commands of a page of the documentation run.
type documentedPage struct {
	path string
	// files are those that the reader saves: by their name, the number of the page's block of
	// YAML, counted from 0.
	files map[string]int
	// before is what happens before a command, in Bash, by a part of the command or of the
	// output that the page shows. $OUT is the file with the output of the command before.
	before map[string]string
	// last are parts of commands that run at the end.
	last []string
	// shown requires the output that the page shows.
	shown bool
}

// documentedPages are the pages that need more than their commands, in the order in which
// they run. The others follow.
var documentedPages = []documentedPage{
	{path: "docs/companyactivation.md", shown: true, files: map[string]int{"demo.yaml": 0}, before: map[string]string{
		"AwaitingActivation":                   `kubectl apply -f demo.yaml; until kubectl get companyactivations | grep -q AwaitingActivation; do sleep 0.2; done`,
		"wait companyactivation/demo":          `curl -X POST "$CONTROL/companies/demo/services/$SERVICE/activate/"`,
		"companyactivations,notificationrules": `kubectl wait notificationrules --field-selector spec.companyRef.name=demo --for=condition=Ready --timeout=3m`,
	}},
	{path: "docs/tutorial.md", shown: true, before: map[string]string{
		"kubectl get rehive -A": `kubectl apply -f "$ROOT/hack/demo/rule.yaml"; kubectl wait notificationrule/debit-receipt --for=condition=Ready --timeout=3m`,
		`"$MAIL"`:               `until curl "$MAIL" | grep -q 'Jane paid 2500.00 USD'; do sleep 0.2; done`,
		"/api/admin/logs/":      `until curl -H "Authorization: Token $TOKEN" "$EXTENSION/api/admin/logs/?notification__name=Large%20payment&state=skipped" | grep -q '"reason"'; do sleep 0.2; done`,
	}},
	{path: "docs/notificationrule.md", shown: true, files: map[string]int{"payment-received.yaml": 0}, before: map[string]string{
		"is invalid": `kubectl delete notificationrule payment-received
sed -i '/^    text: |$/,/^    html/c\    text: |\n      Hello,\n        {% iff user.first_name %}' payment-received.yaml
sed -i '/^ *<p>/d' payment-received.yaml`,
	}},
	{path: "docs/notificationlayout.md", shown: true, files: map[string]int{"brand.yaml": 0}},
	{path: "README.md"},
	{path: "docs/installation.md", before: map[string]string{
		"create secret": `kubectl -n rehive-system delete secret rehive-extension-smtp-credentials`, // that of the README
	}},
	{path: "docs/deliveryprovider.md", files: map[string]int{"sms.yaml": 0}},
	{path: "docs/registering.md", before: map[string]string{
		"/permissions/":               `ID=$(first_id < "$OUT")`,
		"describe companyactivation ": `kubectl wait companyactivation/shop --for=condition=Ready --timeout=3m`,
	}},
	{path: "docs/http-api.md", last: []string{"/api/deactivate/"}, before: map[string]string{
		"/api/webhook/":              `kubectl wait companyactivation/acme --for=condition=Ready --timeout=3m`,
		"/notifications/42/trigger/": `ID=$(curl -H "Authorization: Token $ADMIN_TOKEN" "$EXTENSION/api/admin/notifications/?name=Welcome" | first_id)`,
		"/logs/42/send/":             `ID=$(curl -H "Authorization: Token $ADMIN_TOKEN" "$EXTENSION/api/admin/logs/?state=sent" | first_id)`,
		"/events/42/replay/":         `ID=$(curl -H "Authorization: Token $ADMIN_TOKEN" "$EXTENSION/api/admin/events/?event=alert.create" | first_id)`,
	}},
}

// notExecuted are beginnings of documented commands that do not run here, with the reason.
var notExecuted = map[string]string{
	"kubectl rehive ":                          "cmd/kubectl-rehive parses it, and its tests run each command",
	"kustomize build ":                         "cmd/kubectl-rehive parses what it is piped into",
	"git clone ":                               "it needs a network",
	"make ":                                    "CI runs it",
	"helm install ":                            "test/install renders the chart with these values",
	"dig ":                                     "the domain does not exist",
	"kubectl diff -k ":                         "it needs the program diff, and compares what is applied",
	"kubectl create namespace rehive-system":   "the operator is installed",
	"kubectl wait deliveryprovider/sms ":       "it needs an account of Twilio",
	"kubectl -n rehive-system logs ":           "there is no kubelet",
	"kubectl -n rehive-system exec ":           "there is no kubelet; cmd/manager tests backups",
	"kubectl -n rehive-system attach ":         "there is no kubelet; cmd/manager tests backups",
	"kubectl -n rehive-system rollout status ": "no controller starts pods",
	"kubectl -n rehive-system wait --for=condition=Ready pod/":                                                               "no kubelet starts pods",
	"kubectl -n rehive-system wait --for=condition=Complete ":                                                                "no controller runs Jobs",
	`curl -X POST -H "Authorization: Token $ADMIN_TOKEN" https://notifications.example.com/api/admin/quarantine/42/release/`: "nothing is quarantined; webhookserver tests it",
}

// inPlace replaces what a reader replaces in a command, and makes dry runs of commands that
// would change what the other tests need. As the field manager that installed the operator, apply
// may replace the URL of the admission webhook, which only the tests have, with its Service.
var inPlace = strings.NewReplacer(
	"<your overlay of config/migrate-ledger>", "config/migrate-ledger",
	"<your overlay>", "config/example",
	"<namespace> describe deliveryprovider <name>", "rehive-system describe deliveryprovider sms",
	"-n rehive-system <name>", "-n rehive-system shop",
	"/42/", "/$ID/",
	"kubectl apply -k", "kubectl apply --server-side --field-manager=stage --dry-run=server -k",
	"kubectl delete ", "kubectl delete --ignore-not-found --dry-run=server ",
	"extensions.rehive.com/purge=true", "extensions.rehive.com/purge=true --dry-run=server",
)

// documentedCommand is one command of a page.
type documentedCommand struct {
	line         int
	text, output string // what the page shows
}

var (
	codeBlock    = regexp.MustCompile("(?ms)^ *```(sh|console)\n(.*?)^ *```$")
	yamlBlock    = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")
	hereDocument = regexp.MustCompile(`<<'(\w+)'$`)
)

// documentedCommands returns the commands of a page. In a block of the kind "console", they
// begin with "$ "; a block of that kind without commands is what the last command prints.
func documentedCommands(page string) (found []documentedCommand) {
	for _, at := range codeBlock.FindAllStringSubmatchIndex(page, -1) {
		line := strings.Count(page[:at[4]], "\n")
		console := page[at[2]:at[3]] == "console"
		if block := page[at[4]:at[5]]; console && !strings.Contains(block, "$ ") {
			if len(found) > 0 {
				found[len(found)-1].output = block
			}
			continue
		}
		heredoc, open := "", false
		for text := range strings.Lines(page[at[4]:at[5]]) {
			line++
			command, begins := strings.CutPrefix(text, "$ ")
			switch {
			case open:
				found[len(found)-1].text += text
			case console && !begins:
				found[len(found)-1].output += text
			case strings.TrimSpace(command) != "":
				found = append(found, documentedCommand{line: line, text: strings.TrimLeft(command, " ")})
			}
			if console && !begins && !open {
				continue
			}
			// It continues in the next line after a backslash, within quotation marks and in a
			// here-document.
			whole := found[len(found)-1].text
			if match := hereDocument.FindStringSubmatch(strings.TrimSpace(text)); match != nil {
				heredoc = match[1]
			} else if strings.TrimSpace(text) == heredoc {
				heredoc = ""
			}
			open = heredoc != "" || strings.HasSuffix(whole, "\\\n") || !strings.Contains(whole, "<<") && strings.Count(whole, "'")%2 == 1
		}
	}
	return found
}

// testDocumentedCommands runs the commands of the documentation as a reader does, page by
// page, against the running operator and the simulated platform.
func testDocumentedCommands(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	environment, values := documentedEnvironment(t, root)
	pages := slices.Clone(documentedPages)
	for _, pattern := range []string{"docs/*.md", "docs/runbooks/*.md", "README.md"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			path = strings.TrimPrefix(path, root+"/")
			if !slices.ContainsFunc(pages, func(p documentedPage) bool { return p.path == path }) {
				pages = append(pages, documentedPage{path: path})
			}
		}
	}
	reasons := make(map[string]bool)
	executed := 0
	for _, page := range pages {
		executed += page.run(t, root, environment, values, reasons)
	}
	if executed < 70 {
		t.Errorf("only %d commands were executed", executed)
	}
	for beginning := range notExecuted {
		if !reasons[beginning] {
			t.Errorf("no documented command begins with %q", beginning)
		}
	}
}

// documentedEnvironment returns the environment variables of the commands, and replaces values
// in them. There are three companies: the one of the demo, one that is to be registered, and one
// for the API.
func documentedEnvironment(t *testing.T, root string) ([]string, *strings.Replacer) {
	t.Helper()
	seed, err := set.Platform.Seed()
	if err != nil {
		t.Fatal(err)
	}
	service, err := set.Platform.AddService(seed.Company, rehivetest.Service{Name: "Notifications", URL: set.Manager.PublicURL + "/api/"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Platform.AddCompany(rehivetest.Company{ID: "shop", Name: "Shop"}); err != nil {
		t.Fatal(err)
	}
	c := newCompanyWithID(t, set, "acme")
	if status := c.send(t.Context(), "documented", c.text(1)); status != 200 {
		t.Fatalf("the webhook was answered %d", status)
	}
	c.waitMailed(t, c.text(1))
	admin := func(company string) string {
		user, err := set.Platform.AddUser(company, rehivetest.User{Email: "admin@" + company + ".example", Group: "admin"})
		if err != nil {
			t.Fatal(err)
		}
		return user.Token
	}
	present, err := set.Platform.Service(c.id, c.service.ID)
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := os.ReadFile(set.Kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	own := filepath.Join(home, "kubeconfig")
	if err := os.WriteFile(own, kubeconfig, 0o600); err != nil {
		t.Fatal(err)
	}
	environment := []string{
		"HOME=" + home, "KUBECONFIG=" + own, "PATH=" + filepath.Dir(set.Kubectl()) + ":" + os.Getenv("PATH"), "ROOT=" + root,
		"EXTENSION=" + set.Manager.PublicURL, "CONTROL=" + strings.TrimSuffix(set.Platform.ControlURL(), "/"), "MAIL=" + set.MailURL(),
		fmt.Sprint("SERVICE=", service.ID), "TOKEN=" + admin("shop"),
		"ADMIN_TOKEN=" + admin(c.id), "SERVICE_TOKEN=" + present.Token, "NEW_TOKEN=" + present.Token, "WEBHOOK_SECRET=" + c.secret,
	}
	command := exec.CommandContext(t.Context(), set.Kubectl(), "config", "set-context", "--current", "--namespace=rehive-system")
	command.Env = environment
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("setting the namespace: %v\n%s", err, output)
	}
	return environment, strings.NewReplacer(
		"https://notifications.example.com", set.Manager.PublicURL,
		"https://notifications.shop.example", set.Manager.PublicURL,
		"https://<your host>", set.Manager.PublicURL,
		"https://api.rehive.com/3/", set.Platform.URL(),
		"0f0e…", c.customer.ID,
	)
}

// run runs the page's commands in one shell, and returns how many there were. It notes which
// of the reasons not to run one apply.
func (p *documentedPage) run(t *testing.T, root string, environment []string, values *strings.Replacer, reasons map[string]bool) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, p.path))
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for _, name := range []string{"config", "charts"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(folder, name)); err != nil {
			t.Fatal(err)
		}
	}
	blocks := yamlBlock.FindAllStringSubmatch(string(text), -1)
	for name, number := range p.files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(blocks[number][1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var commands []documentedCommand
	for _, command := range documentedCommands(string(text)) {
		skip := false
		for beginning := range notExecuted {
			if strings.HasPrefix(command.text, beginning) {
				reasons[beginning], skip = true, true
			}
		}
		if !skip {
			commands = append(commands, command)
		}
	}
	if len(commands) == 0 {
		return 0
	}
	atEnd := func(command documentedCommand) bool {
		return slices.ContainsFunc(p.last, func(part string) bool { return strings.Contains(command.text, part) })
	}
	last := slices.DeleteFunc(slices.Clone(commands), func(command documentedCommand) bool { return !atEnd(command) })
	commands = append(slices.DeleteFunc(commands, atEnd), last...)

	script := &strings.Builder{}
	script.WriteString(`curl() { command curl --silent --show-error --fail-with-body "$@"; }
first_id() { grep -o '"id": *[0-9]*' | head -1 | grep -o '[0-9]*$'; }
`)
	for i, command := range commands {
		fmt.Fprintf(script, "echo %d > at\n", i)
		for part, preparation := range p.before {
			if strings.Contains(command.text+command.output, part) {
				fmt.Fprintf(script, "{ %s\n} > before.%d 2>&1\n", preparation, i)
			}
		}
		refused := ""
		if isRefusal(command.output) {
			refused = " && false" // unlike "!", it ends the script if the command succeeds
		}
		fmt.Fprintf(script, "{ %s\n} > %d 2>&1%s\nOUT=%[2]d\n", values.Replace(inPlace.Replace(strings.TrimSuffix(command.text, "\n"))), i, refused)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-e", "-c", script.String())
	shell.Dir, shell.Env = folder, environment
	if output, err := shell.CombinedOutput(); err != nil {
		at, _ := os.ReadFile(filepath.Join(folder, "at"))
		number := 0
		_, _ = fmt.Sscan(string(at), &number)
		prepared, _ := os.ReadFile(filepath.Join(folder, fmt.Sprint("before.", number)))
		printed, _ := os.ReadFile(filepath.Join(folder, fmt.Sprint(number)))
		t.Errorf("%s:%d: %s: %v\n%s%s%s", p.path, commands[number].line, commands[number].text, err, prepared, printed, output)
		return len(commands)
	}
	for i, command := range commands {
		printed, err := os.ReadFile(filepath.Join(folder, fmt.Sprint(i)))
		if err != nil {
			t.Fatal(err)
		}
		if missing := notPrinted(command.output, string(printed)); p.shown && missing != "" {
			t.Errorf("%s:%d: %s does not print %q, but:\n%s", p.path, command.line, command.text, missing, printed)
		}
	}
	return len(commands)
}

var (
	varying = regexp.MustCompile(`[0-9a-f]{32,}|[0-9]+[smh]?([0-9]+[smh])?|(January|February|March|April|May|June|July|August|September|October|November|December)\b`)
	spaces  = regexp.MustCompile(`\s+`)
)

// isRefusal reports whether a page shows that the API server refuses a change.
func isRefusal(shown string) bool {
	return strings.HasPrefix(shown, "The ") && strings.Contains(shown, " is invalid: ")
}

// notPrinted returns a line that a page shows and a command did not print; empty if there is
// none. Numbers, times, months and the width of columns may differ. Messages are wrapped on the page.
func notPrinted(shown, printed string) string {
	comparable := func(text string) string {
		return strings.TrimSpace(spaces.ReplaceAllString(varying.ReplaceAllString(text, "N"), " "))
	}
	printed = comparable(printed)
	if isRefusal(shown) {
		if !strings.Contains(printed, comparable(shown)) {
			return shown
		}
		return ""
	}
	for line := range strings.Lines(shown) {
		if !strings.Contains(line, "…") && !strings.Contains(printed, comparable(line)) {
			return line
		}
	}
	return ""
}
