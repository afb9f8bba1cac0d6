module github.com/rehive/extension-operator/hack/bench/templates

go 1.26.0

replace github.com/rehive/extension-operator => ../../..

require (
	github.com/flosch/pongo2/v6 v6.0.0
	github.com/rehive/extension-operator v0.0.0-00010101000000-000000000000
)

require (
	golang.org/x/net v0.61.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)
