// The kinds of other projects that config/components and the chart create. The tests apply
// their CustomResourceDefinitions, which are read from these modules and never compiled.
module github.com/rehive/extension-operator/test/install/crds

go 1.26.0

require (
	github.com/cert-manager/cert-manager v1.21.2
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
