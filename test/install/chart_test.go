// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package install

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const chartFolder = "../../charts/rehive-extension-operator"

// release is the release whose names are those of config/default.
const release = "rehive-extension"

// exampleValues install what config/default does.
const exampleValues = `
settings:
  public-url: https://notifications.example.com
  smtp-address: smtp.example.com:587
  email-from: notifications@example.com
`

// renderChart does what `helm template` does, and returns the notes too.
func renderChart(values string) (objects []*unstructured.Unstructured, notes string, err error) {
	loaded, err := loader.Load(chartFolder)
	if err != nil {
		return nil, "", err
	}
	return renderLoaded(loaded, values)
}

func renderLoaded(loaded *chart.Chart, values string) (objects []*unstructured.Unstructured, notes string, err error) {
	given := make(map[string]any)
	if err := yaml.Unmarshal([]byte(values), &given); err != nil {
		return nil, "", err
	}
	complete, err := util.ToRenderValues(loaded, given, common.ReleaseOptions{Name: release, Namespace: operatorNamespace, IsInstall: true, Revision: 1}, nil)
	if err != nil {
		return nil, "", err
	}
	files, err := engine.Render(loaded, complete)
	if err != nil {
		return nil, "", err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch path.Base(name) {
		case "NOTES.txt":
			notes = files[name]
			continue
		case "_helpers.tpl":
			continue
		}
		for document := range strings.SplitSeq("\n"+files[name], "\n---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.UnmarshalStrict([]byte(document), &object.Object); err != nil {
				return nil, "", err
			}
			if len(object.Object) > 0 {
				objects = append(objects, object)
			}
		}
	}
	return objects, notes, nil
}

func mustRender(t *testing.T, values string) []*unstructured.Unstructured {
	t.Helper()
	objects, _, err := renderChart(values)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return objects
}

// TestChartEqualsKustomize renders the chart and the kustomization that do the same, and
// compares every object.
func TestChartEqualsKustomize(t *testing.T) {
	monitored := exampleValues + `
ingress: {enabled: true}
httpRoute:
  enabled: true
  parentRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gateway}]
certManager: {http: {enabled: true}, metrics: {enabled: true}, admission: {enabled: true}}
monitoring: {enabled: true, dashboard: {enabled: true}}
ledger: {encryption: {enabled: true}}
unsubscribe: {enabled: true}
tracing: {enabled: true, endpoint: "http://collector.example.com:4318"}
`
	allComponents := []string{"ingress", "gateway", "cert-manager", "prometheus", "metrics-certificate", "admission-certificate", "grafana-dashboard", "ledger-encryption", "unsubscribe", "tracing"}
	g := NewWithT(t)
	for name, test := range map[string]struct {
		values    string
		kustomize []*unstructured.Unstructured
	}{
		"default":      {exampleValues, objects(g, "../../config/default")},
		"cluster-wide": {exampleValues + "clusterWide: true", objects(g, "../../config/cluster-wide")},
		"postgres": {exampleValues + `
ledger:
  type: postgres
  postgres:
    url: postgres://rehive_extension@postgres.example.com:5432/rehive_extension?sslmode=verify-full
`, objects(g, "../../config/postgres")},
		"components": {monitored, overlay(t, operatorNamespace, allComponents, "")},
		"example": {`
settings:
  public-url: https://notifications.shop.example
  email-from: notifications@shop.example
  smtp-address: smtp.shop.example:587
  smtp-username: notifications@shop.example
watchNamespaces: [team-a]
image:
  repository: registry.example.com/rehive/extension-operator
`, objects(g, "../../config/example")},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			chart, kustomize := comparable(mustRender(t, test.values)), comparable(test.kustomize)
			g.Expect(slices.Sorted(maps.Keys(chart))).To(Equal(slices.Sorted(maps.Keys(kustomize))))
			for name, object := range kustomize {
				g.Expect(chart[name]).To(Equal(object), name)
			}
		})
	}
}

// comparable returns the objects by their identity, without what may differ: labels and
// annotations of the tools, how a changed ConfigMap replaces the pods, and the namespaces,
// which Helm does not create.
func comparable(objects []*unstructured.Unstructured) map[string]string {
	found := make(map[string]string)
	hashed := ""
	for _, object := range objects {
		if name, ok := strings.CutPrefix(object.GetName(), "rehive-extension-manager-config-"); ok {
			hashed = "-" + name
		}
	}
	for _, object := range objects {
		object = object.DeepCopy()
		if object.GetKind() == "Namespace" {
			continue
		}
		for _, place := range [][]string{{"metadata"}, {"spec", "template", "metadata"}} {
			for _, field := range []string{
				"labels/app.kubernetes.io/managed-by", "labels/app.kubernetes.io/instance", "labels/app.kubernetes.io/part-of",
				"labels/app.kubernetes.io/version", "labels/helm.sh/chart", "annotations/helm.sh/resource-policy", "annotations/checksum/config",
			} {
				kind, key, _ := strings.Cut(field, "/")
				unstructured.RemoveNestedField(object.Object, append(slices.Clone(place), kind, key)...)
			}
			for _, kind := range []string{"labels", "annotations"} {
				if left, ok, _ := unstructured.NestedMap(object.Object, append(slices.Clone(place), kind)...); ok && len(left) == 0 {
					unstructured.RemoveNestedField(object.Object, append(slices.Clone(place), kind)...)
				}
			}
		}
		if object.GetKind() == "Deployment" {
			containers, _, _ := unstructured.NestedSlice(object.Object, "spec", "template", "spec", "containers")
			delete(containers[0].(map[string]any), "imagePullPolicy") // the API server's default, written out
			unstructured.SetNestedSlice(object.Object, containers, "spec", "template", "spec", "containers")
			sortNamed(object, "volumes")
			sortNamed(object, "containers", "volumeMounts")
			sortNamed(object, "containers", "env")
		}
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", " ")
		if err := encoder.Encode(object.Object); err != nil {
			panic(err)
		}
		rendered := text.String()
		name := identity(object)
		if hashed != "" {
			rendered, name = strings.ReplaceAll(rendered, hashed, ""), strings.TrimSuffix(name, hashed)
		}
		found[name] = rendered
	}
	return found
}

// sortNamed sorts a list of the pod, or of its first container, by name.
func sortNamed(deployment *unstructured.Unstructured, fields ...string) {
	pod := deployment.Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	if len(fields) == 2 {
		pod = pod[fields[0]].([]any)[0].(map[string]any)
	}
	list, _ := pod[fields[len(fields)-1]].([]any)
	slices.SortFunc(list, func(a, b any) int {
		return strings.Compare(a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string))
	})
}

// TestChartValues has the API server judge what the chart creates for various values.
func TestChartValues(t *testing.T) {
	for name, values := range map[string]string{
		"default": ``,
		"small": `
crds: {enabled: false}
rbac: {clusterRoles: false}
networkPolicy: {enabled: false}
admission: {enabled: false}
ledger: {persistence: {existingClaim: mine}}
`,
		"second": `
crds: {enabled: false}
rbac: {clusterRoles: false}
monitoring: {enabled: true}
`,
		"everything": `
image: {digest: "sha256:0123456789012345678901234567890123456789012345678901234567890123", pullPolicy: Always}
imagePullSecrets: [{name: registry}]
fullnameOverride: notifications
watchNamespaces: [team-a]
crds: {keep: false}
ledger: {persistence: {size: 1Gi, storageClassName: fast, accessModes: [ReadWriteOnce], keep: false}}
serviceAccount: {annotations: {example.com/role: notifications}}
podAnnotations: {example.com/a: b}
podLabels: {example.com/team: payments}
nodeSelector: {kubernetes.io/arch: amd64}
tolerations: [{key: dedicated, operator: Exists}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: disk, operator: In, values: [ssd]}]}]}}}
priorityClassName: system-cluster-critical
extraEnv: [{name: HTTPS_PROXY, value: "http://proxy.example.com:3128"}]
extraVolumes: [{name: ca, configMap: {name: ca}}]
extraVolumeMounts: [{name: ca, mountPath: /etc/ca}]
networkPolicy: {extraEgress: [{ports: [{port: 3128, protocol: TCP}]}]}
ingress: {enabled: true, className: nginx, annotations: {example.com/a: b}, host: other.example.com, tls: {secretName: mine}}
httpRoute: {enabled: true, hostname: other.example.com, parentRefs: [{name: public, namespace: gateways, sectionName: https}]}
certManager: {http: {enabled: true, issuerRef: {kind: Issuer, name: ours}}, metrics: {enabled: true}, admission: {enabled: true}}
monitoring: {enabled: true, labels: {release: kube-prometheus-stack}, interval: 1m, dashboard: {enabled: true}}
`,
		"postgres": `
ledger: {type: postgres, postgres: {url: "postgres://user@db.example.com:5432/ledger?sslmode=verify-full", credentialsSecret: db}}
replicas: 3
monitoring: {enabled: true}
`,
		"cluster-wide": `clusterWide: true`,
	} {
		t.Run(name, func(t *testing.T) {
			rendered := mustRender(t, exampleValues+values)
			tryAll(t, rendered)
			created := make(map[string]bool)
			for _, object := range rendered {
				created[object.GetKind()+" "+object.GetName()] = true
			}
			for _, object := range rendered {
				if role, found, _ := unstructured.NestedStringMap(object.Object, "roleRef"); found {
					NewWithT(t).Expect(created).To(HaveKey(role["kind"]+" "+role["name"]), identity(object))
				}
			}
		})
	}
}

// TestChartSettings has numbers and booleans among the settings: the manager must read
// what was meant.
func TestChartSettings(t *testing.T) {
	g := NewWithT(t)
	for _, object := range mustRender(t, exampleValues+`
  company-pending-limit: 2000000
  smtp-rate: 2.5
  trust-system-email: false
  event-retention: 720h
`) {
		if object.GetKind() == "ConfigMap" {
			g.Expect(object.Object["data"]).To(Equal(map[string]any{
				"REHIVE_EXTENSION_PUBLIC_URL":            "https://notifications.example.com",
				"REHIVE_EXTENSION_SMTP_ADDRESS":          "smtp.example.com:587",
				"REHIVE_EXTENSION_EMAIL_FROM":            "notifications@example.com",
				"REHIVE_EXTENSION_COMPANY_PENDING_LIMIT": "2000000",
				"REHIVE_EXTENSION_SMTP_RATE":             "2.5",
				"REHIVE_EXTENSION_TRUST_SYSTEM_EMAIL":    "false",
				"REHIVE_EXTENSION_EVENT_RETENTION":       "720h",
			}))
		}
	}
}

// TestChartRefuses has values that Helm must refuse, naming the value.
func TestChartRefuses(t *testing.T) {
	for name, test := range map[string]struct{ values, want string }{
		"no public URL":        {"", "public-url"},
		"a flag that is not":   {"settings: {public-url: 'https://a.example', smtp-adress: 'x:25'}", "smtp-adress"},
		"a value that is not":  {exampleValues + "ingres: {enabled: true}", "ingres"},
		"a typo in resources":  {exampleValues + "resources: {limit: {memory: 2Gi}}", "limit"},
		"no quantity":          {exampleValues + "resources: {limits: {memory: [2Gi]}}", "memory"},
		"a typo in affinity":   {exampleValues + "affinity: {nodeAfinity: {}}", "nodeAfinity"},
		"a password":           {exampleValues + "ledger: {type: postgres, postgres: {url: 'postgres://a:b@c/d'}}", "url"},
		"no database":          {exampleValues + "ledger: {type: postgres}", "ledger.postgres.url is required"},
		"no gateway":           {exampleValues + "httpRoute: {enabled: true}", "httpRoute.parentRefs is required"},
		"a digest without sha": {exampleValues + "image: {digest: latest}", "digest"},
		"two databases":        {exampleValues + "ledger: {type: mysql}", "type"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := renderChart(test.values)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(test.want)))
		})
	}
}

// TestChartKeeps checks what `helm uninstall` leaves, by default and on request.
func TestChartKeeps(t *testing.T) {
	g := NewWithT(t)
	kept := func(values string) (kinds []string) {
		for _, object := range mustRender(t, exampleValues+values) {
			if object.GetAnnotations()["helm.sh/resource-policy"] == "keep" {
				kinds = append(kinds, object.GetKind())
			}
		}
		slices.Sort(kinds)
		return slices.Compact(kinds)
	}
	g.Expect(kept("")).To(Equal([]string{"CustomResourceDefinition", "PersistentVolumeClaim"}))
	g.Expect(kept("crds: {keep: false}\nledger: {persistence: {keep: false}}")).To(BeEmpty())
}

// TestChartNotes checks that the notes name the next step, and only what applies.
func TestChartNotes(t *testing.T) {
	g := NewWithT(t)
	_, plain, err := renderChart(exampleValues)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(plain).To(And(
		ContainSubstring("kubectl -n rehive-system rollout status deployment rehive-extension-controller-manager"),
		ContainSubstring("Register https://notifications.example.com/api/ as an extension"),
		ContainSubstring("Route https://notifications.example.com/api/ to the Service rehive-extension-controller-manager"),
		Not(ContainSubstring("create secret")),
	))
	_, full, err := renderChart(`
settings: {public-url: "https://notifications.example.com/", smtp-username: joe}
ledger: {type: postgres, postgres: {url: "postgres://user@db/ledger"}}
ingress: {enabled: true}
monitoring: {enabled: true}
crds: {keep: false}
`)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(full).To(And(
		ContainSubstring("create secret generic rehive-extension-ledger-credentials"),
		ContainSubstring("create secret generic rehive-extension-smtp-credentials"),
		ContainSubstring("curl https://notifications.example.com/api/schema.json"),
		ContainSubstring("cannot send email"),
		ContainSubstring("kubectl label namespace monitoring metrics=enabled"),
		ContainSubstring("helm uninstall deletes all activations"),
	))
}

// TestChartLint does what `helm lint --strict` does.
func TestChartLint(t *testing.T) {
	values := make(map[string]any)
	g := NewWithT(t)
	g.Expect(yaml.Unmarshal([]byte(exampleValues), &values)).To(Succeed())
	for _, message := range lint.RunAll(chartFolder, values, operatorNamespace).Messages {
		if message.Severity >= support.WarningSev {
			t.Error(message.Error())
		}
	}
}

// TestChartVersion keeps the chart, the kustomization and the installation guide at one
// version of the image.
func TestChartVersion(t *testing.T) {
	g := NewWithT(t)
	loaded, err := loader.Load(chartFolder)
	g.Expect(err).NotTo(HaveOccurred())
	version := loaded.Metadata.AppVersion
	g.Expect("v" + loaded.Metadata.Version).To(Equal(version))
	g.Expect(loaded.Metadata.Annotations["artifacthub.io/images"]).To(ContainSubstring("rehive/extension-operator:" + version))
	for _, file := range []string{"config/manager/kustomization.yaml", "config/default/kustomization.yaml", "config/migrate-ledger/kustomization.yaml"} {
		text, err := os.ReadFile(filepath.Join(root, file))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(text)).To(ContainSubstring(version), file)
	}
	for _, crd := range objects(g, "../../config/crd") {
		g.Expect(loaded.Metadata.Annotations["artifacthub.io/crds"]).To(ContainSubstring("name: " + crd.GetName() + "\n"))
	}
}
