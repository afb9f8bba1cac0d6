// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/activation"
	"github.com/rehive/extension-operator/internal/clusterapi"
	"github.com/rehive/extension-operator/internal/clusterapi/server"
	"github.com/rehive/extension-operator/internal/ledger"
	"github.com/rehive/extension-operator/internal/ledger/sqlite"
	"github.com/rehive/extension-operator/internal/namespaces"
	"github.com/rehive/extension-operator/test/controlplane"
)

// operated is a cluster with an operator that serves clusterapi with a SQLite ledger, as the
// manifests set it up: the company my_shop is held by team-a/shop, and team-b/shop only
// claims it.
type operated struct {
	plane  *controlplane.ControlPlane
	ledger ledger.Store
	log    *lockedBuffer
	server *httptest.Server
}

// lockedBuffer is a buffer for concurrent use.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// otherService is the name of the operator's Service, which is not that of the manifests: the
// plugin must find it.
const otherService = "acme-admission"

// manifests returns the objects of a file below config in a namespace, with the prefix of
// the installations.
func manifests(g *WithT, path, inNamespace string) (objects []*unstructured.Unstructured) {
	text, err := os.ReadFile("../../config/" + path)
	g.Expect(err).NotTo(HaveOccurred())
	for _, name := range []string{"cli-viewer", "cli-editor", "cli-proxy", "manager-role"} {
		text = bytes.ReplaceAll(text, []byte(" "+name), []byte(" rehive-extension-"+name))
		text = bytes.ReplaceAll(text, []byte("["+name), []byte("[rehive-extension-"+name))
	}
	text = bytes.ReplaceAll(text, []byte("https:"+clusterapi.Service+":"), []byte("https:"+otherService+":"))
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		object := &unstructured.Unstructured{}
		g.Expect(yaml.Unmarshal([]byte(document), &object.Object)).To(Succeed())
		if object.GetNamespace() != "" {
			object.SetNamespace(inNamespace)
		}
		if subjects, found, _ := unstructured.NestedSlice(object.Object, "subjects"); found {
			subjects[0].(map[string]any)["namespace"] = inNamespace
			g.Expect(unstructured.SetNestedSlice(object.Object, subjects, "subjects")).To(Succeed())
		}
		objects = append(objects, object)
	}
	return objects
}

// bind gives a user a role in a namespace.
func (c *operated) bind(g *WithT, inNamespace, kind, role string, subject rbacv1.Subject) {
	g.Expect(c.plane.Client.Create(context.Background(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: inNamespace, GenerateName: "test-"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: role},
		Subjects:   []rbacv1.Subject{subject},
	})).To(Succeed())
}

func person(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}
}

// reachable returns an address of this machine that the API server's proxy connects to,
// which loopback addresses are not.
func reachable(t *testing.T) net.IP {
	addresses, err := net.InterfaceAddrs()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && network.IP.To4() != nil && network.IP.IsGlobalUnicast() {
			return network.IP
		}
	}
	t.Skip("this machine has only loopback addresses, which the API server's proxy refuses")
	return nil
}

func startOperated(t *testing.T) *operated {
	g := NewWithT(t)
	ip := reachable(t)
	plane, err := controlplane.Start(controlplane.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(plane.Stop()).To(Succeed()) })
	c := &operated{plane: plane, log: &lockedBuffer{}}
	create := func(objects ...client.Object) {
		t.Helper()
		for _, object := range objects {
			g.Expect(plane.Client.Create(t.Context(), object)).To(Succeed())
		}
	}
	for _, name := range []string{namespace, "team-a", "team-b"} {
		create(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
		for _, file := range []string{"rbac/cli/viewer.yaml", "rbac/cli/editor.yaml", "rbac/namespaced/role.yaml"} {
			for _, object := range manifests(g, file, name) {
				create(object)
			}
		}
	}
	for _, file := range []string{"rbac/cli_viewer_role.yaml", "rbac/cli_editor_role.yaml", "rbac/cli_proxy_role.yaml", "admission/role.yaml", "rbac/service_account.yaml"} {
		for _, object := range manifests(g, file, namespace) {
			create(object)
		}
	}
	operator := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "controller-manager"}
	for _, name := range []string{namespace, "team-a", "team-b"} {
		c.bind(g, name, "Role", "rehive-extension-manager-role", operator)
	}
	for _, name := range []string{"team-a", "team-b"} {
		create(&v1alpha1.CompanyActivation{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "shop"}, Spec: v1alpha1.CompanyActivationSpec{Company: "my_shop"}})
	}

	// The operator has the rights of the manifests and no others.
	admin, err := kubernetes.NewForConfig(plane.Config)
	g.Expect(err).NotTo(HaveOccurred())
	token, err := admin.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), operator.Name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	g.Expect(err).NotTo(HaveOccurred())
	own := rest.AnonymousClientConfig(plane.Config)
	own.BearerToken = token.Status.Token
	kube, err := kubernetes.NewForConfig(own)
	g.Expect(err).NotTo(HaveOccurred())
	watched := namespaces.Of(namespace, "team-a", "team-b")
	cached, err := cache.New(own, cache.Options{Scheme: controlplane.Scheme(), DefaultNamespaces: watched.CacheNamespaces()})
	g.Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	t.Cleanup(func() { cancel(); g.Expect(<-stopped).To(Succeed()) })
	holders, err := activation.NewNamespaces("team-a", "team-b")
	g.Expect(err).NotTo(HaveOccurred())
	index, err := activation.NewIndex(ctx, cached, holders)
	g.Expect(err).NotTo(HaveOccurred())
	go func() { stopped <- cached.Start(ctx) }()
	g.Expect(cached.WaitForCacheSync(ctx)).To(BeTrue())

	c.ledger, err = sqlite.Open(ctx, filepath.Join(t.TempDir(), "ledger.db"), ledger.Options{})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(c.ledger.Close()).To(Succeed()) })
	c.server = httptest.NewUnstartedServer(server.New(server.Options{
		Kubernetes: kube, Cache: cached, Activations: index, Watched: watched, Ledger: c.ledger,
		Log: funcr.New(func(_, args string) { fmt.Fprintln(c.log, args) }, funcr.Options{}),
	}))
	g.Expect(c.server.Listener.Close()).To(Succeed())
	c.server.Listener, err = net.Listen("tcp", net.JoinHostPort(ip.String(), "0"))
	g.Expect(err).NotTo(HaveOccurred())
	c.server.StartTLS()
	t.Cleanup(c.server.Close)

	port := int32(c.server.Listener.Addr().(*net.TCPAddr).Port)
	name := clusterapi.Port
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "manager"},
		Spec:       corev1.PodSpec{ServiceAccountName: operator.Name, Containers: []corev1.Container{{Name: "manager", Image: "i"}}},
	}
	create(pod)
	pod.Status.PodIP, pod.Status.PodIPs = ip.String(), []corev1.PodIP{{IP: ip.String()}}
	g.Expect(plane.Client.Status().Update(t.Context(), pod)).To(Succeed())
	create(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: otherService, Labels: operatorLabels},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: name, Port: 443}}},
	}, &corev1.Endpoints{ //nolint:staticcheck // the API server's proxy reads it
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: otherService},
		Subsets: []corev1.EndpointSubset{{ //nolint:staticcheck // as above
			// The proxy connects only to the addresses of pods.
			Addresses: []corev1.EndpointAddress{{IP: ip.String(), TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: namespace, Name: pod.Name}}}, Ports: []corev1.EndpointPort{{Name: name, Port: port}},
		}},
	})
	return c
}

// kubeconfig returns a file with the credentials, a client certificate, of a user.
func (c *operated) kubeconfig(t *testing.T, user string) string {
	g := NewWithT(t)
	added, err := c.plane.AddUser(envtest.User{Name: user})
	g.Expect(err).NotTo(HaveOccurred())
	content, err := added.KubeConfig()
	g.Expect(err).NotTo(HaveOccurred())
	path := filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(os.WriteFile(path, content, 0o600)).To(Succeed())
	return path
}

// decide stores an event with one message.
func (c *operated) decide(g *WithT, company, event string, delivery ledger.NewDelivery) {
	_, err := c.ledger.AcceptEvent(context.Background(), ledger.Event{Company: company, ID: event, Name: "transaction.execute", Data: []byte("{}")})
	g.Expect(err).NotTo(HaveOccurred())
	claimed, err := c.ledger.ClaimEvents(context.Background(), ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(1))
	g.Expect(c.ledger.CompleteEvent(context.Background(), claimed[0], []ledger.NewDelivery{delivery})).To(Succeed())
}

// end claims the only due delivery and ends it.
func (c *operated) end(g *WithT, how func(ledger.ClaimedDelivery) error) ledger.ClaimedDelivery {
	claimed, err := c.ledger.ClaimDeliveries(context.Background(), ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(1))
	g.Expect(how(claimed[0])).To(Succeed())
	return claimed[0]
}

func message(rule, to string) ledger.NewDelivery {
	return ledger.NewDelivery{RuleName: rule, Channel: ledger.ChannelEmail, Recipient: to, Content: ledger.Content{From: "a@example.com", Subject: "The subject", Text: "The text"}}
}

func TestLogsAndReplay(t *testing.T) {
	c := startOperated(t)
	g := NewWithT(t)
	ctx := context.Background()
	viewer, editor, stranger := c.kubeconfig(t, "viewer"), c.kubeconfig(t, "editor"), c.kubeconfig(t, "stranger")
	for _, user := range []string{"viewer", "editor", "stranger"} {
		c.bind(g, namespace, "Role", "rehive-extension-cli-proxy", person(user))
	}
	c.bind(g, "team-a", "ClusterRole", "rehive-extension-cli-viewer-role", person("viewer"))
	c.bind(g, "team-a", "ClusterRole", "rehive-extension-cli-editor-role", person("editor"))
	c.bind(g, "team-b", "ClusterRole", "rehive-extension-cli-editor-role", person("stranger"))
	run := func(kubeconfig, inNamespace string, args ...string) (int, string, string) {
		return plugin(ctx, "", append(args, "--kubeconfig", kubeconfig, "-n", inNamespace)...)
	}
	// The API server's authorizer learns of a binding a moment after it was created.
	g.Eventually(func() string {
		_, _, errOut := run(editor, "team-a", "logs")
		return errOut
	}, "1m", "100ms").Should(Equal("No messages found.\n"))
	g.Eventually(func() string {
		_, _, errOut := run(viewer, "team-a", "logs")
		return errOut
	}, "1m", "100ms").Should(Equal("No messages found.\n"))

	c.decide(g, "my_shop", "e1", message("team-a/payment", "jo@example.com"))
	delivered := c.end(g, func(d ledger.ClaimedDelivery) error { return c.ledger.MarkSent(ctx, d, "<p1>") })
	_, err := c.ledger.RecordFeedback(ctx, []ledger.Feedback{{Delivery: delivered.ID, Company: "my_shop", Outcome: ledger.OutcomeDelivered, At: time.Now()}})
	g.Expect(err).NotTo(HaveOccurred())
	c.decide(g, "my_shop", "e2", message("team-a/welcome", "ann@example.com"))
	failed := c.end(g, func(d ledger.ClaimedDelivery) error {
		return c.ledger.FailDelivery(ctx, d, "ProviderRejected", "The mailbox \x1b[31m does not exist.")
	})
	c.decide(g, "my_shop", "e3", ledger.NewDelivery{RuleName: "team-a/other", Channel: ledger.ChannelEmail, SkipReason: "ExpressionFalse", SkipMessage: "No."})
	c.decide(g, "another", "e4", message("team-c/secret", "secret@example.com"))
	c.end(g, func(d ledger.ClaimedDelivery) error { return c.ledger.MarkSent(ctx, d, "<p2>") })

	status, out, errOut := run(viewer, "team-a", "logs", "-o", "wide")
	g.Expect(status).To(Equal(0), errOut)
	g.Expect(out).To(MatchRegexp(`(?m)^\S+Z?\S* +\d+ +sent +email +team-a/payment +jo@example.com +transaction.execute +- +my_shop +e1 +delivered +1 +<p1> +-$`))
	g.Expect(out).To(MatchRegexp(`(?m)^\S+ +\d+ +failed +email +team-a/welcome +ann@example.com +transaction.execute +ProviderRejected +my_shop +e2 +- +1 +- +The mailbox ·\[31m does not exist\.$`))
	g.Expect(strings.Count(out, "\n")).To(Equal(3), "what doesn't concern an event is hidden: %s", out)
	g.Expect(out).NotTo(ContainSubstring("secret"))
	_, out, _ = run(viewer, "team-a", "logs", "--all", "--tail", "1")
	g.Expect(out).To(ContainSubstring("ExpressionFalse"))
	for _, filter := range [][]string{{"--rule", "welcome"}, {"--state", "failed"}, {"--recipient", "ann@example.com"}, {"--event-id", "e2"}, {"--reason", "ProviderRejected"}, {fmt.Sprint(failed.ID)}} {
		status, out, errOut = run(viewer, "team-a", append([]string{"logs", "-o", "json", "--since", "1h", "--company", "my_shop"}, filter...)...)
		g.Expect(status).To(Equal(0), errOut)
		var list clusterapi.MessageList
		g.Expect(json.Unmarshal([]byte(out), &list)).To(Succeed())
		g.Expect(list.Messages).To(HaveLen(1), "%v", filter)
		g.Expect(list.Messages[0].EventID).To(Equal("e2"), "%v", filter)
		g.Expect(out).NotTo(ContainSubstring("The subject"), "the texts are customer data that nobody asked for")
	}

	// Seeing messages does not include sending them.
	status, _, errOut = run(viewer, "team-a", "replay", fmt.Sprint(failed.ID))
	g.Expect(status).To(Equal(2))
	g.Expect(errOut).To(And(ContainSubstring("rehive-extension-cli-editor"), ContainSubstring("cannot create resource")))
	status, _, errOut = run(viewer, "team-a", "replay", fmt.Sprint(failed.ID), "--service-account", "rehive-extension-cli-viewer")
	g.Expect(status).To(Equal(2))
	g.Expect(errOut).To(ContainSubstring("system:serviceaccount:team-a:rehive-extension-cli-viewer may not create companyactivations/messages of team-a/shop."))
	// An activation that does not hold its company gives no access to it.
	g.Eventually(func() string {
		_, _, errOut = run(stranger, "team-b", "logs")
		return errOut
	}, "1m", "100ms").Should(ContainSubstring("it does not hold its company"))
	_, _, errOut = run(stranger, "team-a", "logs")
	g.Expect(errOut).To(ContainSubstring("cannot list resource"))

	// Messages are sent again, and the log says by whom. The one that was masked is not counted.
	masked := message("team-a/welcome", "ann@example.com")
	masked.Sensitive = true
	c.decide(g, "my_shop", "e2-code", masked)
	c.end(g, func(d ledger.ClaimedDelivery) error {
		return c.ledger.FailDelivery(ctx, d, "ProviderRejected", "No.")
	})
	status, out, errOut = run(editor, "team-a", "replay", "--failed", "--rule", "welcome", "--since", "1h")
	g.Expect(status).To(Equal(1))
	g.Expect(out).To(Equal("Would send 1 message again.\n"))
	g.Expect(errOut).To(ContainSubstring("Repeat the command with --yes"))
	status, out, errOut = run(editor, "team-a", "replay", "--failed", "--rule", "welcome", "--since", "1h", "--yes")
	g.Expect(status).To(Equal(0), errOut)
	g.Expect(out).To(Equal("Sending 1 message again.\n"))
	c.end(g, func(d ledger.ClaimedDelivery) error {
		return c.ledger.FailDelivery(ctx, d, "ProviderRejected", "Again.")
	})
	status, out, errOut = run(editor, "team-a", "replay", fmt.Sprint(failed.ID), "999999")
	g.Expect(status).To(Equal(1))
	g.Expect(out).To(Equal("Sending 1 message again.\n"))
	g.Expect(errOut).To(Equal("message 999999: There is no such message.\n"))
	c.end(g, func(d ledger.ClaimedDelivery) error { return c.ledger.MarkSent(ctx, d, "") })
	audit := c.log.String()
	g.Expect(audit).To(MatchRegexp(`"Sending messages again" "company"="my_shop" "namespace"="team-a" "activation"="shop" "by"="system:serviceaccount:team-a:rehive-extension-cli-editor" "credential"="JTI=[0-9a-f-]{36}" "claimedUser"="editor" .*"count"=1`))
	g.Expect(audit).To(ContainSubstring(fmt.Sprintf(`"delivery"=%d`, failed.ID)))
	g.Expect(audit).NotTo(ContainSubstring("ann@example.com"))

	// Quarantined events are released.
	_, err = c.ledger.AcceptEvent(ctx, ledger.Event{Company: "my_shop", ID: "e5", Name: "user.create", Data: []byte("{}")})
	g.Expect(err).NotTo(HaveOccurred())
	quarantine := func() {
		claimed, err := c.ledger.ClaimEvents(ctx, ledger.Claim{Limit: 1, Lease: time.Minute})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(claimed).To(HaveLen(1))
		g.Expect(c.ledger.QuarantineEvent(ctx, claimed[0], "Unfinished", "It hung.")).To(Succeed())
	}
	quarantine()
	_, out, _ = run(editor, "team-a", "replay", "--quarantined")
	g.Expect(out).To(Equal("Would evaluate 1 quarantined event again.\n"))
	status, out, errOut = run(editor, "team-a", "replay", "--quarantined", "--yes")
	g.Expect(status).To(Equal(0), errOut)
	g.Expect(out).To(Equal("Evaluating 1 quarantined event again.\n"))
	quarantine()
	_, out, _ = run(viewer, "team-a", "logs", "--state", "quarantined", "-o", "json")
	var list clusterapi.MessageList
	g.Expect(json.Unmarshal([]byte(out), &list)).To(Succeed())
	g.Expect(list.Messages).To(HaveLen(1))
	status, out, errOut = run(editor, "team-a", "replay", fmt.Sprint(list.Messages[0].ID))
	g.Expect(status).To(Equal(0), errOut)
	g.Expect(out).To(Equal("Evaluating 1 quarantined event again.\n"))
	claimed, err := c.ledger.ClaimEvents(ctx, ledger.Claim{Limit: 1, Lease: time.Minute})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(claimed).To(HaveLen(1))
	g.Expect(c.ledger.FailEvent(ctx, claimed[0], "Enough.")).To(Succeed())

	t.Run("erase", func(t *testing.T) { c.testErase(t, viewer, editor) })
	t.Run("suppressions", func(t *testing.T) { c.testSuppressions(t, viewer, editor) })
	t.Run("follow", func(t *testing.T) { c.testFollow(t, viewer) })
	t.Run("tokens", c.testTokens)
}

// testSuppressions shows and changes which recipients receive none of a company's messages.
func (c *operated) testSuppressions(t *testing.T, viewer, editor string) {
	g := NewWithT(t)
	run := func(kubeconfig string, args ...string) (int, string, string) {
		return plugin(t.Context(), "", append([]string{"suppressions", args[0], "--kubeconfig", kubeconfig, "-n", "team-a"}, args[1:]...)...)
	}
	status, out, errOut := run(viewer, "list")
	g.Expect([]any{status, out, errOut}).To(Equal([]any{0, "", "No suppressions found.\n"}))
	status, _, errOut = run(viewer, "add", "email", "zoe@example.com")
	g.Expect(status).To(Equal(2))
	g.Expect(errOut).To(ContainSubstring("cannot create resource"))
	status, _, errOut = run(viewer, "add", "email", "zoe@example.com", "--service-account", "rehive-extension-cli-viewer")
	g.Expect(status).To(Equal(2))
	g.Expect(errOut).To(ContainSubstring("may not create companyactivations/suppressions of team-a/shop."))
	for _, invalid := range [][]string{{"system", "zoe"}, {"email", "zoe"}, {"sms", "1234"}, {"email", "zoe@example.com", "--note", strings.Repeat("x", 251)}} {
		status, _, errOut = run(editor, append([]string{"add"}, invalid...)...)
		g.Expect(status).To(Equal(2), "%s", invalid)
		g.Expect(errOut).To(ContainSubstring("The "), "%s", invalid)
	}

	status, out, errOut = run(editor, "add", "email", "Zoe@Example.com", "--note", "asked by phone")
	g.Expect(status).To(Equal(0), errOut)
	g.Expect(out).To(MatchRegexp(`^(?i:zoe@example.com) receives no email messages of my_shop\.\n$`))
	suppressed, err := c.ledger.SuppressedAmong(t.Context(), "my_shop", "email", "zoe@example.com")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(suppressed).To(HaveLen(1))
	for i := range clusterapi.MaxMessages {
		g.Expect(c.ledger.Suppress(t.Context(), ledger.Suppression{
			Company: "my_shop", Channel: "sms", Address: fmt.Sprintf("+2782%07d", i), Reason: ledger.SuppressedStop, Source: ledger.SourceProvider,
		}, 0)).To(Succeed())
	}
	var all clusterapi.SuppressionList
	status, out, errOut = run(viewer, "list", "-o", "json")
	g.Expect(status).To(Equal(0), errOut)
	g.Expect(json.Unmarshal([]byte(out), &all)).To(Succeed())
	g.Expect(all.Suppressions).To(HaveLen(clusterapi.MaxMessages + 1))
	added := all.Suppressions[clusterapi.MaxMessages]
	g.Expect([]string{added.Company, added.Channel, added.Reason, added.Source, added.Note}).To(Equal([]string{"my_shop", "email", "Manual", "Admin", "asked by phone"}))
	_, out, _ = run(viewer, "list", "--channel", "email", "-o", "wide")
	g.Expect(out).To(MatchRegexp(`ID +CHANNEL.*\n\d+ +email +(?i:zoe@example.com) +Manual .* my_shop +Admin +- +asked by phone\n$`))

	status, _, errOut = run(editor, "remove", "x")
	g.Expect(status).To(Equal(2))
	g.Expect(errOut).To(ContainSubstring(`"x" is not the ID of a suppression: kubectl rehive suppressions list shows them`))
	status, out, errOut = run(editor, "remove", fmt.Sprint(added.ID), "999999")
	g.Expect([]any{status, out, errOut}).To(Equal([]any{1, "Removed 1 suppression.\n", "suppression 999999: There is no such suppression.\n"}))
	_, out, errOut = run(viewer, "list", "--recipient", "zoe@example.com")
	g.Expect(out + errOut).To(Equal("No suppressions found.\n"))
	c.testImport(t, editor, &all)
	audit := c.log.String()
	g.Expect(audit).To(And(ContainSubstring(`"Suppressed a recipient"`), ContainSubstring(`"Deleted a suppression"`), ContainSubstring(`"Imported suppressions"`)))
	g.Expect(audit).NotTo(ContainSubstring("Zoe@"))
}

// testImport imports an export into the company from which a suppression was removed since, twice,
// and then what is wrong.
func (c *operated) testImport(t *testing.T, editor string, exported *clusterapi.SuppressionList) {
	g := NewWithT(t)
	run := func(content string, args ...string) (int, string, string) {
		return plugin(t.Context(), content, append([]string{"suppressions", args[0], "--kubeconfig", editor, "-n", "team-a"}, args[1:]...)...)
	}
	content, err := yaml.Marshal(exported)
	g.Expect(err).NotTo(HaveOccurred())
	n := len(exported.Suppressions)
	status, out, errOut := run(string(content), "import", "-")
	g.Expect([]any{status, out}).To(Equal([]any{1, fmt.Sprintf("Would add 1 suppression; %d existed already.\n", n-1)}), errOut)
	g.Expect(errOut).To(Equal("Nothing was added. Repeat the command with --yes to add them.\n"))
	status, out, errOut = run(string(content), "import", "-", "--yes")
	g.Expect([]any{status, out, errOut}).To(Equal([]any{0, fmt.Sprintf("Added 1 suppression; %d existed already.\n", n-1), ""}))
	status, out, errOut = run(string(content), "import", "-", "--yes")
	g.Expect([]any{status, out, errOut}).To(Equal([]any{0, fmt.Sprintf("Added 0 suppressions; %d existed already.\n", n), ""}))

	const hash = "0123456789abcdef0123456789abcdef"
	user := "11111111-2222-4333-8444-555555555555"
	until := time.Now().Add(24 * time.Hour).UTC().Truncate(time.Second)
	entries := []struct{ entry, problem string }{
		{fmt.Sprintf(`{"channel":"push","recipient":%q,"device":%q,"reason":"DeadToken","source":"Provider","until":%q}`, user, hash, until.Format(time.RFC3339)), ""},
		{fmt.Sprintf(`{"channel":"push","recipient":%q,"device":"x","reason":"DeadToken"}`, user), "not the hash of a push token"},
		{fmt.Sprintf(`{"channel":"push","recipient":%q,"reason":"DeadToken"}`, user), "which need each other"},
		{`{"channel":"email","recipient":"zoe","reason":"Manual"}`, "The recipient "},
		{`{"channel":"email","recipient":"a@example.com","reason":"Bored"}`, "The reason must be"},
		{`{"channel":"fax","recipient":"a@example.com","reason":"Stop"}`, "The channel must be"},
		{`{"channel":"email","recipient":"a@example.com","reason":"Stop","source":"me"}`, "The source must be"},
		{`{"channel":"email","recipient":"a@example.com","reason":"Manual","company":"bank"}`, "another company than my_shop"},
		{`{"channel":"email","recipient":"a@example.com","reason":"HardBounce","until":"2001-01-01T00:00:00Z"}`, "It has ended"},
		{`{"channel":"email","recipient":"hmac-sha256:00","reason":"Stop"}`, "The recipient was erased"},
		{`{"channel":"email","recipient":"a@example.com","reason":"Manual","note":"` + strings.Repeat("x", 251) + `"}`, "The note may have 250 characters"},
		{`{"channel":"email","recipient":"a@example.com","reason":"Manual","nickname":"x"}`, "It can't be read: unknown field"},
		{`{"channel":7}`, "It can't be read"},
		{`{"channel":"email","recipient":"a@example.com","reason":"Manual","note":"` + strings.Repeat("x", 9000) + `"}`, "It is too long"},
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.entry)
	}
	status, out, errOut = run(`{"suppressions":[`+strings.Join(list, ",")+"]}", "import", "-", "--yes")
	g.Expect([]any{status, out}).To(Equal([]any{1, "Added 1 suppression; 0 existed already.\n"}))
	for i, e := range entries {
		if e.problem != "" {
			g.Expect(errOut).To(MatchRegexp(fmt.Sprintf(`(?m)^suppression %d( \(.*\))?: .*%s`, i+1, e.problem)))
		}
	}
	g.Expect(strings.Count(errOut, "\n")).To(Equal(len(entries) - 1))
	for content, problem := range map[string]string{"x": "standard input is not a list of suppressions", "{}": "standard input has no list named suppressions", `{"suppressions":5}`: "standard input is not a list of suppressions"} {
		status, _, errOut = run(content, "import", "-")
		g.Expect(status).To(Equal(2))
		g.Expect(errOut).To(ContainSubstring(problem))
	}

	// A new export contains the imported entries.
	var again clusterapi.SuppressionList
	_, out, _ = run("", "list", "-o", "json")
	g.Expect(json.Unmarshal([]byte(out), &again)).To(Succeed())
	kept := func(list []clusterapi.Suppression) (texts []string) {
		for _, s := range list {
			texts = append(texts, fmt.Sprint(s.Company, s.Channel, s.Recipient, s.Device, s.Reason, s.Source, s.Note, s.Until.Round(time.Minute)))
		}
		return texts
	}
	want := append(exported.Suppressions, clusterapi.Suppression{Company: "my_shop", Channel: "push", Recipient: user, Device: hash, Reason: "DeadToken", Source: "Provider", Until: until})
	g.Expect(kept(again.Suppressions)).To(ConsistOf(kept(want)))
}

// testErase erases a user's data after it said how much there is.
func (c *operated) testErase(t *testing.T, viewer, editor string) {
	g := NewWithT(t)
	const user = "11111111-2222-4333-8444-555555555555"
	erase := func(kubeconfig string, args ...string) (int, string, string) {
		return plugin(t.Context(), "", append([]string{"erase", "--kubeconfig", kubeconfig, "-n", "team-a"}, args...)...)
	}
	about := message("team-a/payment", "zoe@example.com")
	about.UserID = user
	c.decide(g, "my_shop", "erase-1", about)
	c.decide(g, "my_shop", "erase-2", message("team-a/payment", "zoe@example.com"))
	c.decide(g, "another", "erase-3", about)

	status, out, errOut := erase(editor, user)
	g.Expect(status).To(Equal(1), errOut)
	g.Expect(out).To(Equal("Would erase 1 message, 0 events and 0 preferences.\n"))
	g.Expect(errOut).To(ContainSubstring("Nothing was erased. Repeat the command with --yes"))
	status, out, _ = erase(editor, user, "--email", "Zoe@example.com")
	g.Expect(status).To(Equal(1))
	g.Expect(out).To(Equal("Would erase 2 messages, 0 events and 0 preferences.\n"))
	status, _, errOut = erase(viewer, user, "--yes")
	g.Expect(status).To(Equal(2))
	g.Expect(errOut).To(ContainSubstring("cannot create resource"))
	status, _, errOut = erase(viewer, user, "--yes", "--service-account", "rehive-extension-cli-viewer")
	g.Expect(status).To(Equal(2))
	g.Expect(errOut).To(ContainSubstring("may not delete companyactivations/users of team-a/shop."))
	for _, invalid := range []string{"zoe@example.com", "{" + user + "}", strings.ReplaceAll(user, "-", "")} {
		status, _, errOut = erase(editor, invalid)
		g.Expect(status).To(Equal(2), invalid)
		g.Expect(errOut).To(ContainSubstring("The user must be a user's identifier on Rehive"), invalid)
	}

	status, out, errOut = erase(editor, strings.ToUpper(user), "--email", "zoe@example.com", "--yes")
	g.Expect(status).To(Equal(0), errOut)
	recorded, err := c.ledger.Erasures(t.Context(), "my_shop", 1)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(recorded).To(HaveLen(1))
	g.Expect(out).To(Equal("Erased 2 messages, 0 events and 0 preferences.\nThe erasure is recorded with the subject " + recorded[0].Subject + ".\n"))
	status, out, errOut = erase(editor, user, "--email", "zoe@example.com")
	g.Expect(status).To(Equal(0), errOut)
	g.Expect(out).To(Equal("Nothing is stored about the user.\n"))
	left := c.end(g, func(d ledger.ClaimedDelivery) error { return c.ledger.MarkSent(t.Context(), d, "") })
	g.Expect(left.Company).To(Equal("another"))
	audit := c.log.String()
	g.Expect(audit).To(MatchRegexp(`"Erasing a user's data" "company"="my_shop" .*"claimedUser"="editor" "subject"="` + recorded[0].Subject + `" "messages"=2 "events"=0 "complete"=true`))
	g.Expect(audit).NotTo(Or(ContainSubstring(user), ContainSubstring("zoe@example.com")))
}

// testFollow prints new messages, and each new state.
func (c *operated) testFollow(t *testing.T, kubeconfig string) {
	g := NewWithT(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out lockedBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"logs", "-f", "--tail", "1", "-o", "json", "--kubeconfig", kubeconfig, "-n", "team-a"}, genericiooptions.IOStreams{In: strings.NewReader(""), Out: &out, ErrOut: os.Stderr})
	}()
	g.Eventually(out.String, "1m", "50ms").Should(HaveSuffix("\n"))
	c.decide(g, "my_shop", "f1", message("team-a/payment", "follow@example.com"))
	g.Eventually(out.String, "1m", "50ms").Should(ContainSubstring(`"eventID":"f1","state":"pending"`))
	c.end(g, func(d ledger.ClaimedDelivery) error { return c.ledger.MarkSent(ctx, d, "") })
	g.Eventually(out.String, "1m", "50ms").Should(ContainSubstring(`"eventID":"f1","state":"sent"`))
	g.Expect(strings.Count(out.String(), `"eventID":"f1"`)).To(Equal(2))
	cancel()
	g.Expect(<-ended).To(Equal(0))
}

// testTokens calls the operator without the API server's proxy, as a pod could.
func (c *operated) testTokens(t *testing.T) {
	g := NewWithT(t)
	ctx := t.Context()
	admin, err := kubernetes.NewForConfig(c.plane.Config)
	g.Expect(err).NotTo(HaveOccurred())
	token := func(inNamespace, account string, audiences ...string) string {
		answer, err := admin.CoreV1().ServiceAccounts(inNamespace).CreateToken(ctx, account, &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}, metav1.CreateOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		return answer.Status.Token
	}
	c.server.Client().Transport.(*http.Transport).TLSClientConfig.ServerName = "example.com" // that of httptest's certificate
	call := func(body string, tokens ...string) (int, metav1.Status) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.server.URL+clusterapi.Prefix+clusterapi.ListMessages.Path, strings.NewReader(body))
		g.Expect(err).NotTo(HaveOccurred())
		request.Header[clusterapi.TokenHeader] = tokens
		response, err := c.server.Client().Do(request)
		g.Expect(err).NotTo(HaveOccurred())
		defer func() { g.Expect(response.Body.Close()).To(Succeed()) }()
		var status metav1.Status
		g.Expect(json.NewDecoder(response.Body).Decode(&status)).To(Succeed())
		return response.StatusCode, status
	}
	g.Expect(c.plane.Client.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "other"}})).To(Succeed())
	const body = `{"namespace": "team-a", "activation": "shop"}`
	good := token("team-a", clusterapi.Viewer, clusterapi.Audience)
	code, _ := call(body, good)
	g.Expect(code).To(Equal(http.StatusOK))
	forged := good[:len(good)-4] + "AAAA"
	for name, tokens := range map[string][]string{
		"none": nil, "two": {good, good}, "junk": {"junk"}, "forged": {forged},
		"of the API server": {token("team-a", clusterapi.Viewer)}, "for another audience": {token("team-a", clusterapi.Viewer, "vault")},
		"too long": {good + strings.Repeat("A", 9<<10)},
	} {
		code, status := call(body, tokens...)
		g.Expect(code).To(Equal(http.StatusUnauthorized), name)
		g.Expect(status.Message).To(Equal("A token of a service account for the audience rehive-extension-operator is required."), name)
	}
	// The token is of no use at the API server.
	useless := rest.AnonymousClientConfig(c.plane.Config)
	useless.BearerToken = good
	client, err := kubernetes.NewForConfig(useless)
	g.Expect(err).NotTo(HaveOccurred())
	_, err = client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	g.Expect(err).To(MatchError(ContainSubstring("Unauthorized")))

	for name, test := range map[string]struct {
		token, body string
		code        int
	}{
		"another namespace":             {good, `{"namespace": "team-b", "activation": "shop"}`, http.StatusForbidden},
		"an unwatched namespace":        {good, `{"namespace": "default", "activation": "shop"}`, http.StatusForbidden},
		"no namespace":                  {good, `{}`, http.StatusForbidden},
		"another account":               {token("team-a", "other", clusterapi.Audience), body, http.StatusForbidden},
		"an activation that is missing": {good, `{"namespace": "team-a", "activation": "gone"}`, http.StatusNotFound},
		"an unknown field":              {good, `{"namespace": "team-a", "activation": "shop", "company": "another"}`, http.StatusBadRequest},
		"too large":                     {good, `{"namespace": "` + strings.Repeat("a", 70<<10), http.StatusRequestEntityTooLarge},
	} {
		code, status := call(test.body, test.token)
		g.Expect(code).To(Equal(test.code), "%s: %s", name, status.Message)
	}
}
