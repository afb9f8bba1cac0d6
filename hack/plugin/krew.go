// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// manifest describes a plugin to Krew. See
// https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/.
type manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec spec `json:"spec"`
}

type spec struct {
	Version          string     `json:"version"`
	Homepage         string     `json:"homepage"`
	ShortDescription string     `json:"shortDescription"`
	Description      string     `json:"description"`
	Caveats          string     `json:"caveats"`
	Platforms        []platform `json:"platforms"`
}

// platform is how Krew installs the plugin on a platform.
type platform struct {
	Selector selector  `json:"selector"`
	URI      string    `json:"uri"`
	SHA256   string    `json:"sha256"`
	Bin      string    `json:"bin"`
	Files    []copying `json:"files"`
}

type selector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

// copying copies a file of the archive to a folder of the installation.
type copying struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// newPlatform returns the platform whose archive has the files, the plugin first.
func newPlatform(system, architecture, uri, sum string, files []file) platform {
	p := platform{
		Selector: selector{MatchLabels: map[string]string{"os": system, "arch": architecture}},
		URI:      uri, SHA256: sum, Bin: files[0].name,
	}
	for _, f := range files {
		p.Files = append(p.Files, copying{From: f.name, To: "."})
	}
	return p
}

func newManifest(version string, platforms []platform) manifest {
	m := manifest{APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin"}
	m.Metadata.Name = name
	m.Spec = spec{
		Version:          version,
		Homepage:         homepage,
		ShortDescription: "Test notification rules and see what was sent",
		Description: `Checks, tests and previews the notification rules of the Rehive extension operator
without a cluster, shows what works in one, and asks the running operator which
messages were sent.
`,
		Caveats: `The operator must be installed in the cluster for the commands that ask it:
` + homepage + `

For completion, copy ` + completion + ` from the folder of this plugin to a
folder in your PATH.
`,
		Platforms: platforms,
	}
	return m
}
