// Copyright 2026 The Rehive Extension Operator Authors.
// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlitelib "modernc.org/sqlite/lib"
)

// powerCutVFS is the name of a layer between SQLite and the operating system that
// knows what of its writes had to be on the disk at any moment.
const powerCutVFS = "powercut"

// sector is what a disk writes as a whole.
const sector = 512

// testDisk is what would be left of a directory's files after a power cut.
type testDisk struct {
	mu    sync.Mutex
	files map[string]*diskFile
	// before is called, if it isn't nil, before each change; with mu held.
	before func()
}

// diskFile is a file: what was synced, and what was written since.
type diskFile struct {
	disk *testDisk
	name string
	// named is whether its name is on the disk.
	named   bool
	synced  []byte
	pending []diskWrite
}

// diskWrite writes data, or cuts the file off if it has none.
type diskWrite struct {
	data []byte
	at   int64
}

func (w diskWrite) apply(file []byte) []byte {
	end := w.at + int64(len(w.data))
	if w.data == nil {
		file = file[:min(end, int64(len(file)))]
	}
	if more := end - int64(len(file)); more > 0 {
		file = append(file, make([]byte, more)...)
	}
	copy(file[w.at:], w.data)
	return file
}

func (f *diskFile) sync() {
	for _, w := range f.pending {
		f.synced = w.apply(f.synced)
	}
	f.pending, f.named = nil, true
}

// survives returns the file after a power cut: what was synced, and some of what
// was written since, in any order and broken off between sectors. It is nil if the
// file isn't there.
func (f *diskFile) survives(chance float64) []byte {
	if !f.named && rand.Float64() >= chance {
		return nil
	}
	file := append([]byte{}, f.synced...)
	pending := slices.Clone(f.pending)
	rand.Shuffle(len(pending), func(i, j int) { pending[i], pending[j] = pending[j], pending[i] })
	for _, w := range pending {
		if rand.Float64() >= chance {
			continue
		}
		if sectors := int64(len(w.data)) / sector; sectors > 1 && rand.IntN(4) == 0 {
			// To where a sector of the file ends.
			w.data = w.data[:min(int64(len(w.data)), (1+rand.Int64N(sectors))*sector-w.at%sector)]
		}
		file = w.apply(file)
	}
	return file
}

// after writes to a directory what is left of the files.
func (d *testDisk) after(dir string, chance float64) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		if file := d.files[name].survives(chance); file != nil {
			if err := os.WriteFile(filepath.Join(dir, name), file, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// powerCut is the layer: the one that SQLite uses by itself, with some functions
// replaced. C sees them as addresses.
var powerCut struct {
	once sync.Once
	err  error
	real uintptr

	mu      sync.Mutex
	disks   map[string]*testDisk // by directory
	methods map[uintptr]uintptr  // ours for SQLite's
	open    map[uintptr]vfsFile  // by SQLite's file
}

// vfsFile is a file and the functions for it that were replaced.
type vfsFile struct {
	*diskFile
	was sqlitelib.Tsqlite3_io_methods
}

// newTestDisk watches a directory. Its files are opened with powerCutVFS.
func newTestDisk(dir string) (*testDisk, error) {
	powerCut.once.Do(func() {
		powerCut.disks, powerCut.open = map[string]*testDisk{}, map[uintptr]vfsFile{}
		powerCut.methods = map[uintptr]uintptr{}
		tls := libc.NewTLS()
		name, err := libc.CString(powerCutVFS) // never freed: the layer stays
		if err != nil {
			powerCut.err = err
			return
		}
		powerCut.real = sqlitelib.Xsqlite3_vfs_find(tls, 0)
		ours := *at[sqlitelib.Tsqlite3_vfs](powerCut.real)
		ours.FpNext, ours.FzName = 0, name
		ours.FxOpen, ours.FxDelete = address(vfsOpen), address(vfsDelete)
		if rc := sqlitelib.Xsqlite3_vfs_register(tls, forC(tls, ours), 0); rc != sqlitelib.SQLITE_OK {
			powerCut.err = fmt.Errorf("registering the layer: %d", rc)
		}
	})
	d := &testDisk{files: map[string]*diskFile{}}
	powerCut.mu.Lock()
	defer powerCut.mu.Unlock()
	powerCut.disks[dir] = d
	return d, powerCut.err
}

// at is what lies at an address of C.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) }

// forC copies a value to where C may look at it. It stays there.
func forC[T any](tls *libc.TLS, value T) uintptr {
	p := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(value)))
	*at[T](p) = value
	return p
}

// address is a function of this package as C keeps it, and function the reverse.
func address[F any](f F) uintptr      { return *(*uintptr)(unsafe.Pointer(&f)) }
func function[F any](p uintptr) (f F) { return *(*F)(unsafe.Pointer(&p)) }

// fileOf finds the file of a path, or nil if it isn't watched.
func fileOf(path string) *diskFile {
	powerCut.mu.Lock()
	d := powerCut.disks[filepath.Dir(path)]
	powerCut.mu.Unlock()
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	name := filepath.Base(path)
	if d.files[name] == nil {
		f := &diskFile{disk: d, name: name}
		b, err := os.ReadFile(path)
		if err == nil {
			f.named, f.synced = true, b
		} else if !errors.Is(err, fs.ErrNotExist) {
			panic(err)
		}
		d.files[name] = f
	}
	return d.files[name]
}

func vfsOpen(tls *libc.TLS, _, name, file uintptr, flags int32, outFlags uintptr) int32 {
	var f *diskFile
	if name != 0 {
		f = fileOf(libc.GoString(name))
	}
	rc := function[func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32](at[sqlitelib.Tsqlite3_vfs](powerCut.real).FxOpen)(tls, powerCut.real, name, file, flags, outFlags)
	if rc != sqlitelib.SQLITE_OK || f == nil {
		return rc
	}
	methods := &at[sqlitelib.Tsqlite3_file](file).FpMethods
	was := *at[sqlitelib.Tsqlite3_io_methods](*methods)
	powerCut.mu.Lock()
	defer powerCut.mu.Unlock()
	if powerCut.methods[*methods] == 0 {
		ours := was
		ours.FxWrite, ours.FxTruncate, ours.FxSync, ours.FxClose = address(vfsWrite), address(vfsTruncate), address(vfsSync), address(vfsClose)
		powerCut.methods[*methods] = forC(tls, ours)
	}
	*methods = powerCut.methods[*methods]
	powerCut.open[file] = vfsFile{diskFile: f, was: was}
	return rc
}

// change changes what is known of an open file.
func change(file uintptr, change func(*diskFile)) (was sqlitelib.Tsqlite3_io_methods) {
	powerCut.mu.Lock()
	f := powerCut.open[file]
	powerCut.mu.Unlock()
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.before != nil {
		f.disk.before()
	}
	change(f.diskFile)
	return f.was
}

func vfsWrite(tls *libc.TLS, file, data uintptr, n int32, offset int64) int32 {
	was := change(file, func(f *diskFile) {
		f.pending = append(f.pending, diskWrite{data: slices.Clone(unsafe.Slice(at[byte](data), n)), at: offset})
	})
	return function[func(*libc.TLS, uintptr, uintptr, int32, int64) int32](was.FxWrite)(tls, file, data, n, offset)
}

func vfsTruncate(tls *libc.TLS, file uintptr, size int64) int32 {
	was := change(file, func(f *diskFile) { f.pending = append(f.pending, diskWrite{at: size}) })
	return function[func(*libc.TLS, uintptr, int64) int32](was.FxTruncate)(tls, file, size)
}

// vfsSync syncs nothing really: nobody cuts the power.
func vfsSync(_ *libc.TLS, file uintptr, _ int32) int32 {
	change(file, (*diskFile).sync)
	return sqlitelib.SQLITE_OK
}

func vfsClose(tls *libc.TLS, file uintptr) int32 {
	powerCut.mu.Lock()
	was := powerCut.open[file].was
	delete(powerCut.open, file)
	powerCut.mu.Unlock()
	return function[func(*libc.TLS, uintptr) int32](was.FxClose)(tls, file)
}

// vfsDelete forgets the file at once; only logs that are folded into the database
// are deleted.
func vfsDelete(tls *libc.TLS, _, name uintptr, syncDirectory int32) int32 {
	if f := fileOf(libc.GoString(name)); f != nil {
		f.disk.mu.Lock()
		if f.disk.before != nil {
			f.disk.before()
		}
		delete(f.disk.files, f.name)
		f.disk.mu.Unlock()
	}
	return function[func(*libc.TLS, uintptr, uintptr, int32) int32](at[sqlitelib.Tsqlite3_vfs](powerCut.real).FxDelete)(tls, powerCut.real, name, syncDirectory)
}
