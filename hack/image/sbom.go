// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"
)

// spdxPackage is a package of an SPDX 2.3 document.
type spdxPackage struct {
	ID               string         `json:"SPDXID"`
	Name             string         `json:"name"`
	Version          string         `json:"versionInfo,omitempty"`
	DownloadLocation string         `json:"downloadLocation"`
	FilesAnalyzed    bool           `json:"filesAnalyzed"`
	Checksums        []spdxChecksum `json:"checksums,omitempty"`
	License          string         `json:"licenseDeclared"`
	Concluded        string         `json:"licenseConcluded"`
	Copyright        string         `json:"copyrightText"`
	References       []spdxRef      `json:"externalRefs,omitempty"`
}

type spdxChecksum struct {
	Algorithm string `json:"algorithm"`
	Value     string `json:"checksumValue"`
}

type spdxRef struct {
	Category string `json:"referenceCategory"`
	Type     string `json:"referenceType"`
	Locator  string `json:"referenceLocator"`
}

type spdxRelationship struct {
	Element string `json:"spdxElementId"`
	Type    string `json:"relationshipType"`
	Related string `json:"relatedSpdxElement"`
}

// newSBOM lists the modules that are in a binary, as an SPDX 2.3 document. It reads what the
// Go linker recorded, so it lists what is there rather than what go.mod allows.
func newSBOM(binary, version string, created time.Time) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("reading the modules of the manager: %w", err)
	}
	content, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("reading the manager: %w", err)
	}
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	const main = "SPDXRef-manager"
	packages := []spdxPackage{{
		ID: main, Name: info.Main.Path, Version: version, DownloadLocation: "https://github.com/rehive/extension-operator",
		Checksums: []spdxChecksum{{Algorithm: "SHA256", Value: digest}}, License: "Apache-2.0", Concluded: "Apache-2.0", Copyright: "NOASSERTION",
		References: []spdxRef{packageURL(info.Main.Path, version)},
	}, {
		ID: "SPDXRef-go", Name: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go"), DownloadLocation: "https://go.dev/dl/",
		License: "BSD-3-Clause", Concluded: "BSD-3-Clause", Copyright: "NOASSERTION",
		References: []spdxRef{packageURL("stdlib", strings.TrimPrefix(info.GoVersion, "go"))},
	}}
	relationships := []spdxRelationship{
		{Element: "SPDXRef-DOCUMENT", Type: "DESCRIBES", Related: main},
		{Element: main, Type: "DEPENDS_ON", Related: "SPDXRef-go"},
	}
	for i, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		id := fmt.Sprintf("SPDXRef-module-%d", i+1)
		packages = append(packages, spdxPackage{
			ID: id, Name: module.Path, Version: module.Version, DownloadLocation: "NOASSERTION",
			License: "NOASSERTION", Concluded: "NOASSERTION", Copyright: "NOASSERTION",
			References: []spdxRef{packageURL(module.Path, module.Version)},
		})
		relationships = append(relationships, spdxRelationship{Element: main, Type: "DEPENDS_ON", Related: id})
	}
	document := map[string]any{
		"spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": "rehive-extension-operator-" + version,
		"documentNamespace": "https://github.com/rehive/extension-operator/sbom/" + digest,
		"creationInfo":      map[string]any{"created": created.Format(time.RFC3339), "creators": []string{"Tool: rehive-extension-operator/hack/image"}},
		"packages":          packages, "relationships": relationships,
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the SBOM: %w", err)
	}
	return append(text, '\n'), nil
}

func packageURL(path, version string) spdxRef {
	return spdxRef{Category: "PACKAGE-MANAGER", Type: "purl", Locator: "pkg:golang/" + path + "@" + version}
}
