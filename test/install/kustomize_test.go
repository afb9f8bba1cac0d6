// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/config/presets"
)

func render(g *WithT, folder string) resmap.ResMap {
	options := krusty.MakeDefaultOptions()
	options.Reorder = krusty.ReorderOptionLegacy // as kubectl does: namespaces first
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), folder)
	g.Expect(err).NotTo(HaveOccurred())
	return resources
}

// TestInstallations validates against the API server what `kubectl apply -k` would create.
func TestInstallations(t *testing.T) {
	for _, overlay := range []string{"default", "example", "cluster-wide"} {
		t.Run(overlay, func(t *testing.T) {
			// A SQLite ledger has one writer.
			testInstallation(t, objects(NewWithT(t), "../../config/"+overlay), 1, appsv1.RecreateDeploymentStrategyType)
		})
	}
	t.Run("postgres", func(t *testing.T) {
		testInstallation(t, objects(NewWithT(t), "../../config/postgres"), 2, appsv1.RollingUpdateDeploymentStrategyType)
	})
	t.Run("migrate-ledger", func(t *testing.T) {
		tryAll(t, objects(NewWithT(t), "../../config/restore-ledger"))
		g := NewWithT(t)
		rendered := objects(g, "../../config/migrate-ledger")
		g.Expect(rendered).To(HaveLen(1))
		tryAll(t, rendered)
		// It mounts the volume of config/default and the Secret of config/postgres.
		var job batchv1.Job
		g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(rendered[0].Object, &job)).To(Succeed())
		for _, volume := range job.Spec.Template.Spec.Volumes {
			if claim := volume.PersistentVolumeClaim; claim != nil {
				find(g, "../../config/default", "PersistentVolumeClaim", claim.ClaimName)
			}
		}
	})
}

// TestComponents validates against the API server each component of config/components, in the
// overlay that its comment describes: the patches in the comment must fit.
func TestComponents(t *testing.T) {
	entries, err := os.ReadDir("../../config/components")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	added := map[string][]string{
		"admission-certificate": {"Certificate", "Issuer"},
		"cert-manager":          {"Certificate"},
		"gateway":               {"HTTPRoute"},
		"grafana-dashboard":     {"ConfigMap"},
		"ingress":               {"Ingress"},
		"ledger-encryption":     nil,
		"metrics-certificate":   {"Certificate", "Issuer"},
		"names":                 nil,
		"prometheus":            {"ClusterRoleBinding", "PrometheusRule", "ServiceMonitor"},
		"unsubscribe":           nil,
		"tracing":               nil,
		"watched-namespace":     {"Role", "RoleBinding", "ServiceAccount"},
	}
	NewWithT(t).Expect(entries).To(HaveLen(len(added)), "a component without a test")
	base := identities(objects(NewWithT(t), "../../config/default"))
	for component, kinds := range added {
		t.Run(component, func(t *testing.T) {
			g := NewWithT(t)
			example := commentOf(g, "../../config/components/"+component+"/kustomization.yaml")
			components := []string{component}
			if component == "metrics-certificate" {
				components = []string{"prometheus", component}
			}
			namespace := operatorNamespace
			if component == "watched-namespace" {
				namespace = "team-a"
			}
			rendered := overlay(t, namespace, components, example)
			tryAll(t, rendered)
			var found []string
			for _, object := range rendered {
				if !base[identity(object)] {
					found = append(found, object.GetKind())
					g.Expect(object.GetLabels()).To(HaveKeyWithValue("app.kubernetes.io/name", "rehive-extension-operator"), identity(object))
				}
			}
			for _, kind := range kinds {
				g.Expect(found).To(ContainElement(kind))
			}
			// The patches in the comment must replace every placeholder of the component.
			if strings.Contains(example, "shop.example") {
				for _, object := range rendered {
					if !base[identity(object)] && object.GetKind() != "ConfigMap" {
						g.Expect(fmt.Sprint(object.Object)).NotTo(ContainSubstring("example.com"), identity(object))
					}
				}
			}
		})
	}
	t.Run("all", func(t *testing.T) {
		tryAll(t, overlay(t, "team-a", []string{"ingress", "gateway", "cert-manager", "prometheus", "metrics-certificate", "admission-certificate", "grafana-dashboard", "ledger-encryption", "unsubscribe", "tracing"}, ""))
	})
}

// overlay renders a kustomization of config/default with components, in a namespace. Of
// example, which is YAML, the patches are taken.
func overlay(t *testing.T, namespace string, components []string, example string) []*unstructured.Unstructured {
	t.Helper()
	g := NewWithT(t)
	folder := t.TempDir()
	config, err := filepath.Abs("../../config")
	g.Expect(err).NotTo(HaveOccurred())
	config, err = filepath.Rel(folder, config)
	g.Expect(err).NotTo(HaveOccurred())
	kustomization := map[string]any{}
	g.Expect(yaml.Unmarshal([]byte(example), &kustomization)).To(Succeed())
	kustomization["namespace"] = namespace
	if !slices.Contains(components, "watched-namespace") { // which is used from an overlay without the operator
		kustomization["resources"] = []string{config + "/default"}
	}
	var paths []string
	for _, component := range components {
		paths = append(paths, config+"/components/"+component)
	}
	kustomization["components"] = paths
	text, err := yaml.Marshal(kustomization)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), text, 0o600)).To(Succeed())
	return objects(g, folder)
}

// commentOf returns the example in a component's comment: its lines that are indented.
func commentOf(g *WithT, path string) string {
	text, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	var example strings.Builder
	for line := range strings.Lines(string(text)) {
		if code, ok := strings.CutPrefix(line, "#   "); ok {
			example.WriteString(code)
		}
	}
	return example.String()
}

func identity(object *unstructured.Unstructured) string {
	return object.GetKind() + " " + object.GetNamespace() + "/" + object.GetName()
}

func identities(objects []*unstructured.Unstructured) map[string]bool {
	found := make(map[string]bool)
	for _, object := range objects {
		found[identity(object)] = true
	}
	return found
}

// find returns an object of a kustomization.
func find(g *WithT, folder, kind, name string) *unstructured.Unstructured {
	for _, object := range objects(g, folder) {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	g.Expect(folder).To(BeEmpty(), "it has no %s %s", kind, name)
	return nil
}

// testInstallation tries all objects and checks the Deployment that runs the manager.
func testInstallation(t *testing.T, objects []*unstructured.Unstructured, replicas int32, strategy appsv1.DeploymentStrategyType) {
	t.Helper()
	g := NewWithT(t)
	tryAll(t, objects)
	deployments := 0
	for _, object := range objects {
		if object.GetKind() == "Deployment" {
			deployments++
			var deployment appsv1.Deployment
			g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &deployment)).To(Succeed())
			g.Expect(*deployment.Spec.Replicas).To(Equal(replicas))
			g.Expect(deployment.Spec.Strategy.Type).To(Equal(strategy))
		}
	}
	g.Expect(deployments).To(Equal(1))
}

// tryAll applies the objects as a strict dry run. Pods of Deployments and Jobs are created
// as a dry run too, because the namespace enforces the restricted profile on pods only.
func tryAll(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	g := NewWithT(t)
	for _, object := range objects {
		if object.GetKind() == "Namespace" {
			g.Expect(apply(t.Context(), object)).To(Succeed()) // others are in it
			continue
		}
		g.Expect(apply(t.Context(), object.DeepCopy(), client.DryRunAll)).To(Succeed(), identity(object))
		template, ok, err := unstructured.NestedMap(object.Object, "spec", "template", "spec")
		g.Expect(err).NotTo(HaveOccurred())
		if !ok {
			continue
		}
		pod := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Pod", "spec": template}}
		pod.SetNamespace(operatorNamespace)
		pod.SetName("try")
		g.Expect(client.WithFieldValidation(k8s, metav1.FieldValidationStrict).Create(t.Context(), pod, client.DryRunAll)).To(Succeed(), identity(object))
	}
}

// TestPresets validates against the API server what `kubectl apply -k config/presets` would
// create: the template of each folder.
func TestPresets(t *testing.T) {
	g := NewWithT(t)
	var applied []string
	for _, object := range objects(g, "../../config/presets") {
		g.Expect(object.GetNamespace()).To(Equal(operatorNamespace))
		g.Expect(apply(t.Context(), object, client.DryRunAll)).To(Succeed(), "%s %s", object.GetKind(), object.GetName())
		applied = append(applied, object.GetName())
	}
	templates, err := presets.Templates()
	g.Expect(err).NotTo(HaveOccurred())
	layouts, err := presets.Layouts()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(applied).To(HaveLen(len(templates) + len(layouts)))
	for i := range templates {
		g.Expect(applied).To(ContainElement(templates[i].Name))
		folder := filepath.Join("../../config/presets", templates[i].Name)
		g.Expect(folder).To(BeADirectory(), "a template must be in the folder with its name")
	}
}

// apply works like `kubectl apply --server-side`. The API server refuses unknown fields.
func apply(ctx context.Context, object *unstructured.Unstructured, options ...client.ApplyOption) error {
	options = append(options, client.FieldOwner("manifests-test"), client.ForceOwnership)
	return k8s.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), options...)
}

// TestServiceAccountRights installs config/example and lists the permissions of the
// manager's service account, like `kubectl auth can-i --list`.
func TestServiceAccountRights(t *testing.T) {
	g := NewWithT(t)
	install(t, "../../config/example")
	impersonated := rest.CopyConfig(adminRest)
	account := "rehive-extension-controller-manager"
	impersonated.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + operatorNamespace + ":" + account,
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + operatorNamespace, "system:authenticated"},
	}
	manager, err := kubernetes.NewForConfig(impersonated)
	g.Expect(err).NotTo(HaveOccurred())
	rights := func(namespace string) []string {
		review := &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}
		answer, err := manager.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), review, metav1.CreateOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(answer.Status.Incomplete).To(BeFalse())
		var rights []string
		for _, rule := range answer.Status.ResourceRules {
			for _, group := range rule.APIGroups {
				for _, resource := range rule.Resources {
					for _, verb := range rule.Verbs {
						right := verb + " " + strings.Trim(resource+"."+group, ".")
						if len(rule.ResourceNames) > 0 {
							right += " " + strings.Join(rule.ResourceNames, ",")
						}
						rights = append(rights, right)
					}
				}
			}
		}
		slices.Sort(rights)
		return slices.Compact(rights)
	}
	// Its cluster-wide permissions, and those that Kubernetes grants to everybody: to query
	// their own identity and permissions.
	everybody := []string{
		"get validatingwebhookconfigurations.admissionregistration.k8s.io rehive-extension-admission",
		"patch validatingwebhookconfigurations.admissionregistration.k8s.io rehive-extension-admission",
		"create tokenreviews.authentication.k8s.io",
		"create selfsubjectaccessreviews.authorization.k8s.io",
		"create selfsubjectreviews.authentication.k8s.io",
		"create selfsubjectrulesreviews.authorization.k8s.io",
	}
	// Permissions on kinds other than the operator's own. The generated role covers those.
	working := append([]string{
		"create events.events.k8s.io",
		"create localsubjectaccessreviews.authorization.k8s.io",
		"create secrets",
		"delete secrets",
		"get secrets",
		"list secrets",
		"patch events.events.k8s.io",
		"update secrets",
		"watch secrets",
	}, everybody...)
	electing := append([]string{
		"create events",
		"create leases.coordination.k8s.io",
		"get leases.coordination.k8s.io extension-operator.rehive.com",
		"patch events",
		"patch leases.coordination.k8s.io extension-operator.rehive.com",
		"update leases.coordination.k8s.io extension-operator.rehive.com",
	}, working...)
	own := func(right string) bool {
		g.Expect(right).NotTo(ContainSubstring("*"))
		return strings.HasSuffix(right, ".extensions.rehive.com")
	}
	// The API server's authorizer learns of new bindings a moment later.
	var here, there []string
	g.Eventually(func() []string {
		here = rights(operatorNamespace)
		return slices.DeleteFunc(slices.Clone(here), own)
	}, 2*time.Minute, 50*time.Millisecond).Should(ConsistOf(electing))
	g.Eventually(func() []string {
		there = rights("team-a")
		return slices.DeleteFunc(slices.Clone(there), own)
	}, 2*time.Minute, 50*time.Millisecond).Should(ConsistOf(working))
	g.Expect(there).To(ContainElements("create companyactivations.extensions.rehive.com", "patch notificationrules/status.extensions.rehive.com"))
	for _, right := range there {
		g.Expect(here).To(ContainElement(right))
	}
	g.Expect(rights("kube-system")).To(ConsistOf(everybody))

	// Its only cluster-wide permission is to maintain its own webhook configuration.
	var bindings rbacv1.ClusterRoleBindingList
	g.Expect(k8s.List(t.Context(), &bindings)).To(Succeed())
	for _, binding := range bindings.Items {
		for _, subject := range binding.Subjects {
			if binding.Name != "rehive-extension-admission" {
				g.Expect(subject.Namespace == operatorNamespace || subject.Name == account).To(BeFalse(), binding.Name)
			}
		}
	}
}

// TestRolesForPeople has the API server aggregate the roles into the built-in ones.
// Nothing aggregates in a test's control plane, which has no controllers, so the labels
// are compared with the selectors that the API server has.
func TestRolesForPeople(t *testing.T) {
	g := NewWithT(t)
	verbs := make(map[string]map[string][]string) // by built-in role and resource
	kinds := make(map[string]bool)
	for _, object := range objects(g, "../../config/default") {
		switch object.GetKind() {
		case "CustomResourceDefinition":
			plural, _, _ := unstructured.NestedString(object.Object, "spec", "names", "plural")
			kinds[plural] = true
		case "ClusterRole":
			var role rbacv1.ClusterRole
			g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role)).To(Succeed())
			for _, builtIn := range []string{"view", "edit", "admin"} {
				var target rbacv1.ClusterRole
				g.Expect(k8s.Get(t.Context(), client.ObjectKey{Name: builtIn}, &target)).To(Succeed())
				for _, selector := range target.AggregationRule.ClusterRoleSelectors {
					matches, err := metav1.LabelSelectorAsSelector(&selector)
					g.Expect(err).NotTo(HaveOccurred())
					if matches.Matches(labels.Set(role.Labels)) {
						if verbs[builtIn] == nil {
							verbs[builtIn] = make(map[string][]string)
						}
						for _, rule := range role.Rules {
							for _, resource := range rule.Resources {
								verbs[builtIn][resource] = append(verbs[builtIn][resource], rule.Verbs...)
							}
						}
					}
				}
			}
		}
	}
	g.Expect(kinds).To(HaveLen(5))
	for kind := range kinds {
		g.Expect(verbs["view"][kind]).To(ConsistOf("get", "list", "watch"), kind)
		for _, builtIn := range []string{"edit", "admin"} {
			if kind == "companyactivations" {
				g.Expect(verbs[builtIn]).NotTo(HaveKey(kind), "spec.senderDomains is the platform team's")
				continue
			}
			g.Expect(verbs[builtIn][kind]).To(ContainElements("create", "delete", "patch"), kind)
		}
	}
}

// TestBuiltInRolesReachTheOperator checks what docs/kubectl-plugin.md says about the built-in
// roles: edit and admin can do what the roles of kubectl rehive permit, and view cannot.
func TestBuiltInRolesReachTheOperator(t *testing.T) {
	g := NewWithT(t)
	for name, permitted := range map[string]bool{"system:aggregate-to-view": false, "system:aggregate-to-edit": true} {
		var role rbacv1.ClusterRole
		g.Expect(k8s.Get(t.Context(), client.ObjectKey{Name: name}, &role)).To(Succeed())
		for _, resource := range []string{"serviceaccounts/token", "services/proxy"} {
			found := slices.ContainsFunc(role.Rules, func(r rbacv1.PolicyRule) bool {
				return slices.Contains(r.Resources, resource) && slices.Contains(r.Verbs, "create")
			})
			g.Expect(found).To(Equal(permitted), "%s: create %s", name, resource)
		}
	}
}

// install applies what an overlay grants.
func install(t *testing.T, folder string) {
	t.Helper()
	g := NewWithT(t)
	for _, object := range objects(g, folder) {
		switch object.GetKind() {
		case "Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding":
			g.Expect(apply(t.Context(), object)).To(Succeed(), "%s %s", object.GetKind(), object.GetName())
		}
	}
}

func objects(g *WithT, folder string) []*unstructured.Unstructured {
	var objects []*unstructured.Unstructured
	for _, resource := range render(g, folder).Resources() {
		raw, err := resource.AsYAML()
		g.Expect(err).NotTo(HaveOccurred())
		object := &unstructured.Unstructured{}
		g.Expect(yaml.Unmarshal(raw, &object.Object)).To(Succeed())
		objects = append(objects, object)
	}
	return objects
}

// TestTwoInstallations installs the operator in two namespaces, the second one with a suffix
// as the documentation says: neither installation may change the permissions of the other.
// The CRDs, which both share, must be the same in both.
func TestTwoInstallations(t *testing.T) {
	g := NewWithT(t)
	installation := func(namespace string) map[string]*unstructured.Unstructured {
		found := make(map[string]*unstructured.Unstructured)
		for _, object := range overlay(t, namespace, nil, "nameSuffix: -"+namespace) {
			found[identity(object)] = object
		}
		return found
	}
	first, second := installation("team-one"), installation("team-two")
	g.Expect(first).To(HaveKey("Role team-one/rehive-extension-manager-role-team-one"))
	// Each manager may maintain its own webhook configuration, and knows its name.
	const own = "rehive-extension-admission-team-one"
	g.Expect(first).To(HaveKey("ValidatingWebhookConfiguration /" + own))
	for kind, object := range first {
		text, err := yaml.Marshal(object)
		g.Expect(err).NotTo(HaveOccurred())
		if kind == "ClusterRole /"+own || kind == "Deployment team-one/rehive-extension-controller-manager-team-one" {
			g.Expect(string(text)).To(ContainSubstring(own+"\n"), kind)
		}
	}
	shared := 0
	for name, object := range first {
		if other, both := second[name]; both {
			shared++
			g.Expect(other.Object).To(Equal(object.Object), "%s differs between installations", name)
			g.Expect(object.GetKind()).To(Equal("CustomResourceDefinition"), name)
		}
	}
	g.Expect(shared).To(BeNumerically(">", 4))
}

// TestUninstallKeepsData selects what the documented command deletes, as kubectl does: neither
// the namespace nor the ledger's volume, and everything else.
func TestUninstallKeepsData(t *testing.T) {
	g := NewWithT(t)
	text, err := os.ReadFile("../../docs/installation.md")
	g.Expect(err).NotTo(HaveOccurred())
	found := regexp.MustCompile(`(?m)^kubectl delete -k <your overlay> -l '(.*)'$`).FindStringSubmatch(string(text))
	g.Expect(found).To(HaveLen(2))
	for _, folder := range []string{"../../config/default", "../../config/postgres", "../../config/cluster-wide"} {
		deleted := make(map[string]bool)
		infos, err := resource.NewLocalBuilder().Unstructured().LabelSelectorParam(found[1]).
			FilenameParam(false, &resource.FilenameOptions{Kustomize: folder}).Flatten().Do().Infos()
		g.Expect(err).NotTo(HaveOccurred())
		for _, info := range infos {
			deleted[identity(info.Object.(*unstructured.Unstructured))] = true
		}
		for _, object := range objects(g, folder) {
			keep := object.GetKind() == "Namespace" || object.GetKind() == "PersistentVolumeClaim"
			g.Expect(deleted[identity(object)]).To(Equal(!keep), "%s: %s", folder, identity(object))
		}
	}
}

// TestOtherNames installs the operator with a prefix and a suffix of its own, in two levels as
// the comment of components/names says, and as the documentation's second installation. No
// object may name an object of the operator that does not exist.
func TestOtherNames(t *testing.T) {
	g := NewWithT(t)
	text, err := os.ReadFile("../../docs/installation.md")
	g.Expect(err).NotTo(HaveOccurred())
	_, section, found := strings.Cut(string(text), "## A second installation\n")
	g.Expect(found).To(BeTrue())
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(section, 2)
	g.Expect(blocks).To(HaveLen(2))
	lower, upper := blocks[0][1], blocks[1][1]
	const components = "components: [../../components/gateway, ../../components/ingress, ../../components/admission-certificate, ../../components/prometheus, ../../components/metrics-certificate]\n"
	for name, base := range map[string]struct{ text, service, metrics string }{
		"documented": {lower + components, "rehive-extension-admission-team-b", "rehive-extension-controller-manager-metrics-team-b"},
		"prefix":     {"namespace: team-b-rehive\nnamePrefix: acme-\nresources: [../../default]\n" + components, "acme-rehive-extension-admission", "acme-rehive-extension-controller-manager-metrics"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			folder := t.TempDir()
			config, err := filepath.Abs("../../config")
			g.Expect(err).NotTo(HaveOccurred())
			config, err = filepath.Rel(folder, config)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(os.Mkdir(filepath.Join(folder, "base"), 0o700)).To(Succeed())
			for path, text := range map[string]string{"base/kustomization.yaml": strings.ReplaceAll(base.text, "../../", "../"+config+"/"), "kustomization.yaml": strings.ReplaceAll(upper, "../components", config+"/components")} {
				g.Expect(os.WriteFile(filepath.Join(folder, path), []byte(text), 0o600)).To(Succeed())
			}
			rendered := objects(g, folder)
			tryAll(t, rendered)
			names := make(map[string]bool)
			fields := make(map[string]any)
			var certified, issuers []string
			for _, object := range rendered {
				names[object.GetKind()+" "+object.GetName()] = true
				fields[object.GetKind()] = object.Object
				switch object.GetKind() {
				case "Role":
					if rules, _, _ := unstructured.NestedSlice(object.Object, "rules"); strings.Contains(object.GetName(), "cli-proxy") {
						g.Expect(rules[0].(map[string]any)["resourceNames"]).To(ConsistOf("https:" + base.service + ":https"))
					}
				case "Certificate":
					hosts, _, _ := unstructured.NestedStringSlice(object.Object, "spec", "dnsNames")
					certified = append(certified, hosts...)
					issuer, _, _ := unstructured.NestedString(object.Object, "spec", "issuerRef", "name")
					issuers = append(issuers, "Issuer "+issuer)
				case "ServiceMonitor":
					endpoints, _, _ := unstructured.NestedSlice(object.Object, "spec", "endpoints")
					g.Expect(endpoints[0].(map[string]any)["tlsConfig"]).To(HaveKeyWithValue("serverName", base.metrics+".team-b-rehive.svc"))
				}
			}
			g.Expect(names).To(And(HaveKey("Service "+base.service), HaveKey("Service "+base.metrics)))
			g.Expect(certified).To(ConsistOf(base.service+".team-b-rehive.svc", base.metrics+".team-b-rehive.svc"))
			for _, issuer := range issuers {
				g.Expect(names).To(HaveKey(issuer))
			}
			route := fields["HTTPRoute"].(map[string]any)["spec"].(map[string]any)["rules"].([]any)[0].(map[string]any)["backendRefs"].([]any)[0].(map[string]any)["name"]
			path := fields["Ingress"].(map[string]any)["spec"].(map[string]any)["rules"].([]any)[0].(map[string]any)["http"].(map[string]any)["paths"].([]any)[0].(map[string]any)
			backend := path["backend"].(map[string]any)["service"].(map[string]any)["name"]
			g.Expect(names).To(And(HaveKey(fmt.Sprint("Service ", route)), HaveKey(fmt.Sprint("Service ", backend))))
		})
	}
}

// TestClusterWideRole checks that the role of config/cluster-wide equals the generated one.
func TestClusterWideRole(t *testing.T) {
	g := NewWithT(t)
	const role = "rehive-extension-manager-role"
	wide := find(g, "../../config/cluster-wide", "ClusterRole", role)
	g.Expect(wide.Object["rules"]).To(Equal(find(g, "../../config/default", "Role", role).Object["rules"]))
	binding := find(g, "../../config/cluster-wide", "ClusterRoleBinding", "rehive-extension-manager-rolebinding")
	g.Expect(binding.Object["roleRef"]).To(Equal(map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}))
	config := managerConfig(g, "../../config/cluster-wide")
	g.Expect(config.Object["data"]).To(HaveKeyWithValue("REHIVE_EXTENSION_WATCH_NAMESPACES", "*"))
}

// managerConfig returns the ConfigMap with the manager's settings. Its name ends in their
// hash.
func managerConfig(g *WithT, folder string) *unstructured.Unstructured {
	for _, object := range objects(g, folder) {
		if object.GetKind() == "ConfigMap" && strings.HasPrefix(object.GetName(), "rehive-extension-manager-config-") {
			return object
		}
	}
	g.Expect(folder).To(BeEmpty(), "there is no ConfigMap for the manager")
	return nil
}

// TestDeployment checks requirements on the manager's pod that the API server doesn't
// enforce.
func TestDeployment(t *testing.T) {
	for _, overlay := range []string{"default", "example", "cluster-wide", "postgres"} {
		t.Run(overlay, func(t *testing.T) {
			g := NewWithT(t)
			var deployment appsv1.Deployment
			for _, object := range objects(g, "../../config/"+overlay) {
				if object.GetKind() == "Deployment" {
					g.Expect(runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &deployment)).To(Succeed())
				}
			}
			pod := deployment.Spec.Template.Spec
			g.Expect(pod.Containers).To(HaveLen(1))
			manager := pod.Containers[0]

			// Passwords must be files: environment variables are visible to every process
			// and in dumps.
			for _, source := range manager.EnvFrom {
				g.Expect(source.SecretRef).To(BeNil())
			}
			for _, variable := range manager.Env {
				if variable.ValueFrom != nil {
					g.Expect(variable.ValueFrom.SecretKeyRef).To(BeNil(), variable.Name)
				}
			}
			for _, volume := range pod.Volumes {
				g.Expect(volume.EmptyDir).To(BeNil(), "it would block drains: %s", volume.Name)
				if volume.Secret != nil {
					g.Expect(*volume.Secret.DefaultMode&0o007).To(BeZero(), volume.Name)
				}
			}

			g.Expect(pod.EnableServiceLinks).To(HaveValue(BeFalse()))
			g.Expect(manager.Args).To(ContainElement("--metrics-auth"))
			for _, list := range []corev1.ResourceList{manager.Resources.Requests, manager.Resources.Limits} {
				g.Expect(list).To(And(HaveKey(corev1.ResourceMemory), HaveKey(corev1.ResourceEphemeralStorage)))
			}
			// Opening the ledger may take half an hour.
			g.Expect(manager.StartupProbe.PeriodSeconds * manager.StartupProbe.FailureThreshold).To(BeNumerically(">=", 1800))

			// Different means of applying must not conflict, so the manifest spells out the
			// API server's defaults.
			for _, variable := range manager.Env {
				if variable.ValueFrom != nil && variable.ValueFrom.FieldRef != nil {
					g.Expect(variable.ValueFrom.FieldRef.APIVersion).To(Equal("v1"), variable.Name)
				}
			}

			labels := deployment.Spec.Template.Labels
			for _, label := range []string{"name", "instance", "version", "component", "part-of", "managed-by"} {
				g.Expect(labels).To(HaveKey("app.kubernetes.io/" + label))
				g.Expect(deployment.Labels).To(HaveKey("app.kubernetes.io/" + label))
			}
			_, tag, _ := strings.Cut(manager.Image, ":")
			g.Expect(labels["app.kubernetes.io/version"]).To(Equal(tag))

			// A changed setting replaces the pod.
			g.Expect(manager.EnvFrom[0].ConfigMapRef.Name).To(Equal(managerConfig(g, "../../config/"+overlay).GetName()))
		})
	}
}

func TestSamplesRender(t *testing.T) {
	g := NewWithT(t)
	g.Expect(render(g, "../../config/samples").Size()).To(BeNumerically(">=", 2))
}

// TestFluxLeavesCRDsAlone keeps Flux from replacing what looks like its variables in the
// examples of the CRDs.
func TestFluxLeavesCRDsAlone(t *testing.T) {
	g := NewWithT(t)
	crds := objects(g, "../../config/crd")
	g.Expect(crds).To(HaveLen(5))
	for _, crd := range crds {
		g.Expect(crd.GetAnnotations()).To(HaveKeyWithValue("kustomize.toolkit.fluxcd.io/substitute", "disabled"), crd.GetName())
	}
}
