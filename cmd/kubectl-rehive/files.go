// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
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
			// A directory may hold other files, such as the templates of a chart.
			documents, err := parse(name, content, file == path)
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
	// PowerShell writes UTF-16.
	if content, _, err = transform.Bytes(unicode.BOMOverride(encoding.Nop.NewDecoder()), content); err != nil {
		return "", nil, fmt.Errorf("reading %s: %w", name, err)
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

// parse splits a file into objects. It ignores other content, unless the file is named.
func parse(path string, content []byte, named bool) ([]document, error) {
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
		var list struct {
			metav1.TypeMeta `json:",inline"`
			Items           []json.RawMessage
		}
		if yaml.Unmarshal(raw, &list) != nil || !strings.HasSuffix(list.Kind, "List") {
			all = append(all, parseObject(path, raw, named)...)
			continue
		}
		for _, item := range list.Items { // as kubectl get -o yaml prints several objects
			all = append(all, parseObject(path, item, named)...)
		}
	}
}

// otherKinds are the kinds of the group that the commands for files ignore.
var otherKinds = []string{"CompanyActivation", "DeliveryProvider"}

// parseObject returns one object, or nothing if it is of a kind that the commands ignore.
func parseObject(path string, raw []byte, named bool) []document {
	var head struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        struct{ Name, Namespace string }
	}
	err := yaml.Unmarshal(raw, &head)
	d := document{file: path, kind: head.Kind, namespace: head.Metadata.Namespace, name: head.Metadata.Name}
	group, _, _ := strings.Cut(head.APIVersion, "/")
	switch ours := head.APIVersion == v1alpha1.GroupVersion.String(); {
	case len(bytes.TrimSpace(raw)) == 0, err != nil && !named && !bytes.Contains(raw, []byte(v1alpha1.GroupVersion.Group)):
		return nil // not a Kubernetes object
	case ours && head.Kind == "NotificationRule":
		d.rule = &v1alpha1.NotificationRule{}
		err = decode(raw, d.rule)
	case ours && head.Kind == "NotificationLayout":
		d.layout = &v1alpha1.NotificationLayout{}
		err = decode(raw, d.layout)
	case ours && head.Kind == "NotificationTemplate":
		d.template = &v1alpha1.NotificationTemplate{}
		err = decode(raw, d.template)
	case err != nil:
		d.kind = "object"
		if _, notYAML := yaml.YAMLToJSON(raw); notYAML == nil {
			err = errors.New("it is not a Kubernetes object, with apiVersion, kind and metadata")
		}
	case group != v1alpha1.GroupVersion.Group && !check.IsKind(head.Kind), ours && slices.Contains(otherKinds, head.Kind):
		return nil
	default: // nobody means to skip the check by a typo
		err = fmt.Errorf("there is no kind %s in %s: the kinds of %s are CompanyActivation, DeliveryProvider, NotificationLayout, "+
			"NotificationRule and NotificationTemplate", cmp.Or(head.Kind, `""`), cmp.Or(head.APIVersion, `""`), v1alpha1.GroupVersion)
	}
	if err != nil {
		d.err = sentence(err)
	}
	return []document{d}
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

// wrongType is how the decoder reports a value of a wrong type, and wrongTime what is not a time.
var (
	wrongType = regexp.MustCompile(`cannot unmarshal (\w+)(?: \S+)? into Go struct field (\S+) of type (\S+)`)
	wrongTime = regexp.MustCompile(`parsing time ("[^"]*") as .*`)
)

// typeNames are the types of JSON as people call them. Go's other types are objects.
var typeNames = map[string]string{
	"string": "a string", "bool": "true or false", "number": "a number", "array": "a list", "object": "an object",
	"int32": "a whole number", "int64": "a whole number",
}

// describeType writes what a value of a wrong type is and must be.
func describeType(text string) string {
	parts := wrongType.FindStringSubmatch(text)
	// The decoder names Go's embedded structs, too, whose names begin with a capital letter.
	path := slices.DeleteFunc(strings.Split(parts[2], "."), func(s string) bool { return s == "" || s[0] >= 'A' && s[0] <= 'Z' })
	want := cmp.Or(typeNames[parts[3]], "an object")
	if strings.HasPrefix(parts[3], "[]") {
		want = "a list"
	}
	return fmt.Sprintf("%s must be %s, not %s", strings.Join(path, "."), want, cmp.Or(typeNames[parts[1]], parts[1]))
}

// sentence removes from an error of the YAML parser what only programmers read.
func sentence(err error) error {
	text := err.Error()
	text = wrongType.ReplaceAllStringFunc(text, describeType)
	text = wrongTime.ReplaceAllString(text, "$1 is not a time, such as 2026-12-01T08:00:00Z")
	if strings.Contains(text, "invalid map key: map[") {
		text = "a value that begins with {{ must be in quotes"
	}
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
