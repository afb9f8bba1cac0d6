// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/rehive/extension-operator/api/v1alpha1"
	"github.com/rehive/extension-operator/internal/check"
)

// maxFile bounds what is read of one file. etcd stores objects of up to 1.5 MiB.
const maxFile = 16 << 20

// document is one object of a file.
type document struct {
	file      string
	kind      string
	namespace string
	name      string
	rule      *v1alpha1.NotificationRule
	layout    *v1alpha1.NotificationLayout
	template  *v1alpha1.NotificationTemplate
	err       error // the object can't be read
}

// read reads the rules, layouts and templates in files and directories, and ignores other
// kinds. "-" is the standard input.
func (o *options) read(paths []string) ([]document, error) {
	if len(paths) == 0 {
		return nil, errors.New("name files or directories, or - for the standard input")
	}
	var all []document
	for _, path := range paths {
		files, err := filesIn(path)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			name, content, err := o.readFile(file)
			if err != nil {
				return nil, err
			}
			documents, err := parse(name, content)
			if err != nil {
				return nil, err
			}
			all = append(all, documents...)
		}
	}
	return all, nil
}

// readFile returns the content of a file, and its name for messages. "-" is the standard input.
func (o *options) readFile(path string) (name string, content []byte, err error) {
	name, in := "standard input", o.In
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return "", nil, fmt.Errorf("reading a file: %w", err)
		}
		defer func() { _ = file.Close() }() // it was only read
		name, in = path, file
	}
	content, err = io.ReadAll(io.LimitReader(in, maxFile+1))
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("reading %s: %w", name, err)
	case len(content) > maxFile:
		return "", nil, fmt.Errorf("%s is larger than %d MiB", name, maxFile>>20)
	}
	return name, content, nil
}

// filesIn returns a file, or the YAML and JSON files below a directory in alphabetical
// order. "-" is the standard input.
func filesIn(path string) ([]string, error) {
	if path == "-" {
		return []string{path}, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("reading a file: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) {
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading a directory: %w", err)
	}
	slices.Sort(files)
	return files, nil
}

// parse splits a file into objects.
func parse(path string, content []byte) ([]document, error) {
	var all []document
	decoder := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
	for {
		raw, err := decoder.Read()
		switch {
		case errors.Is(err, io.EOF):
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		var head struct {
			metav1.TypeMeta `json:",inline"`
			Metadata        struct{ Name, Namespace string }
		}
		if len(bytes.TrimSpace(raw)) == 0 || yaml.Unmarshal(raw, &head) != nil && !bytes.Contains(raw, []byte(v1alpha1.GroupVersion.Group)) {
			continue // not a Kubernetes object
		}
		if head.APIVersion != v1alpha1.GroupVersion.String() || !check.IsKind(head.Kind) {
			if err := yaml.Unmarshal(raw, &head); err != nil {
				all = append(all, document{file: path, kind: "object", err: sentence(err)})
			}
			continue
		}
		d := document{file: path, kind: head.Kind, namespace: head.Metadata.Namespace, name: head.Metadata.Name}
		switch head.Kind {
		case "NotificationRule":
			d.rule = &v1alpha1.NotificationRule{}
			err = decode(raw, d.rule)
		case "NotificationLayout":
			d.layout = &v1alpha1.NotificationLayout{}
			err = decode(raw, d.layout)
		case "NotificationTemplate":
			d.template = &v1alpha1.NotificationTemplate{}
			err = decode(raw, d.template)
		}
		if err != nil {
			d.err = sentence(err)
		}
		all = append(all, d)
	}
}

// decode reads an object as the API server does, and refuses unknown and repeated fields.
func decode(raw []byte, into any) error {
	encoded, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return err
	}
	return decodeJSON(encoded, into)
}

// decodeJSON is decode for JSON.
func decodeJSON(raw []byte, into any) error {
	strict, err := kjson.UnmarshalStrict(raw, into)
	return errors.Join(append(strict, err)...)
}

// sentence removes from an error of the YAML parser what only programmers read.
func sentence(err error) error {
	text := err.Error()
	for _, noise := range []string{"error unmarshaling JSON: ", "while decoding JSON: ", "json: ", "error converting YAML to JSON: ", "yaml: "} {
		text = strings.ReplaceAll(text, noise, "")
	}
	return errors.New(text)
}

// layoutOf returns the layout that a rule names, from the files.
func layoutOf(rule *v1alpha1.NotificationRule, all []document) *v1alpha1.NotificationLayout {
	for i := range all {
		if l := all[i].layout; l != nil && all[i].err == nil && l.Name == rule.Spec.Layout() && l.Namespace == rule.Namespace {
			return l
		}
	}
	return nil
}
