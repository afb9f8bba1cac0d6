module github.com/rehive/extension-operator

go 1.26.0

exclude golang.org/x/exp v0.0.0-20261011100332-faecfb24eb49
