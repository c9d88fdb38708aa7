package local

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// A fault is what becomes of one operation. It happens once: a second attempt
// would succeed.
type fault struct {
	name string
	on   []string // kinds of operations it can befall
	err  error
	done bool // the operation is carried out all the same
	part bool // a write: half of it is
	junk bool // a write: and garbage follows
}

var allFaults = []fault{
	{name: "error", on: []string{"open", "rewrite", "log write", "create", "write", "close", "rename", "remove", "segment create", "log mkdir", "snapshot mkdir"}, err: syscall.EIO},
	{name: "no space", on: []string{"log write", "create", "write", "segment create", "log mkdir", "snapshot mkdir"}, err: syscall.ENOSPC, part: true},
	{name: "short write with garbage", on: []string{"log write", "write"}, err: syscall.EIO, part: true, junk: true},
	{name: "error after it was done", on: []string{"rewrite", "log write", "rename", "remove", "segment create", "log mkdir", "snapshot mkdir"}, err: syscall.EIO, done: true},
	{name: "sync error, once", on: []string{"log sync", "segment sync", "sync", "log dir sync", "snapshot dir sync", "dir sync"}, err: syscall.EIO},
}

// simDisk are the real files on a disk that fails at one operation, or loses its
// power there. It syncs nothing for real: it knows what a sync has made safe, and
// crash loses of the rest what it likes.
type simDisk struct {
	osFiles
	mu sync.Mutex // guards all below

	failAt   int // number of the operation from 1, 0 for none
	fault    fault
	powerAt  int // number of the operation at which the power goes, 0 for never
	trace    []string
	off      bool
	fired    bool
	logAfter int // operations on the log after the fault

	files map[string]*simFile // by path
	dirs  map[string]*simDir
	made  []string // directories whose names are not safe, the outer before the inner
}

// simFile is a file, whatever its name is now. It is only ever appended to.
type simFile struct {
	gone   []byte // its bytes, once it has no name
	synced int    // bytes that are safe
	lost   bool   // a sync failed: the kernel counts the rest as clean, no later sync writes it
	ends   []int  // where the writes after that end
}

// simDir is what names are safe, and what has changed since.
type simDir struct {
	durable map[string]*simFile
	changes []simChange
}

// simChange makes name that file, or nothing; a rename also takes from away.
type simChange struct {
	name, from string
	file       *simFile
}

func newSimDisk(dir string) (*simDisk, error) {
	d := &simDisk{osFiles: osFiles{growing: true}, files: map[string]*simFile{}, dirs: map[string]*simDir{}}
	for _, dir := range []string{shardDir(dir, 0), snapshotDir(dir, 0)} {
		d.dirs[dir] = &simDir{durable: map[string]*simFile{}}
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		for _, entry := range entries {
			content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			if err != nil {
				return nil, err
			}
			file := &simFile{synced: len(content)}
			d.files[filepath.Join(dir, entry.Name())], d.dirs[dir].durable[entry.Name()] = file, file
		}
	}
	return d, nil
}

// step counts an operation, and says what is to become of it.
func (d *simDisk) step(kind string) (*fault, error) {
	if d.off {
		return nil, errPower
	}
	d.trace = append(d.trace, kind)
	if d.fired && (kind == "open" || strings.HasPrefix(kind, "log ") || strings.HasPrefix(kind, "segment ")) {
		d.logAfter++
	}
	switch len(d.trace) {
	case d.powerAt:
		d.off = true
		return nil, errPower
	case d.failAt:
		d.fired = true
		return &d.fault, nil
	}
	return nil, nil
}

// do is an operation that is carried out, or not, by act.
func (d *simDisk) do(kind string, act func() error) error {
	f, err := d.step(kind)
	switch {
	case err != nil:
		return err
	case f == nil:
		return act()
	case f.done:
		return errors.Join(f.err, act())
	}
	return f.err
}

func (d *simDisk) change(path string, c simChange) {
	c.name = filepath.Base(path)
	dir := d.dirs[filepath.Dir(path)]
	dir.changes = append(dir.changes, c)
}

func (d *simDisk) create(path string) (newFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out *simWriter
	err := d.do("create", func() error {
		file, err := d.osFiles.create(path)
		if err != nil {
			return err
		}
		out = &simWriter{disk: d, out: file, file: &simFile{}}
		d.files[path] = out.file
		d.change(path, simChange{file: out.file})
		return nil
	})
	return out, err
}

func (d *simDisk) rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.do("rename", func() error {
		if err := d.keep(to); err != nil {
			return err
		}
		d.files[to] = d.files[from]
		delete(d.files, from)
		d.change(to, simChange{from: filepath.Base(from), file: d.files[to]})
		return os.Rename(from, to)
	})
}

func (d *simDisk) remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.do("remove", func() error {
		if err := d.keep(path); err != nil {
			return err
		}
		d.change(path, simChange{})
		return os.Remove(path)
	})
}

// keep remembers the bytes of a file that is about to lose its name.
func (d *simDisk) keep(path string) error {
	file := d.files[path]
	if file == nil {
		return nil
	}
	var err error
	file.gone, err = os.ReadFile(path)
	delete(d.files, path)
	return err
}

func (d *simDisk) rewrite(path string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.do("rewrite", func() error {
		*d.files[path] = simFile{synced: len(data)}
		return os.WriteFile(path, data, 0o640)
	})
}

func (d *simDisk) syncDir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	kind := "dir sync"
	switch sim := d.dirs[dir]; {
	case sim == nil:
		return d.do(kind, func() error { d.syncMade(dir); return nil })
	case filepath.Base(filepath.Dir(dir)) == "log":
		kind = "log dir sync"
	default:
		kind = "snapshot dir sync"
	}
	return d.do(kind, func() error {
		d.syncMade(dir)
		for _, c := range d.dirs[dir].changes {
			c.apply(d.dirs[dir].durable)
		}
		d.dirs[dir].changes = nil
		return nil
	})
}

// syncMade makes the names of the directories in dir safe.
func (d *simDisk) syncMade(dir string) {
	d.made = slices.DeleteFunc(d.made, func(path string) bool { return filepath.Dir(path) == dir })
}

func (d *simDisk) mkdir(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	kind := "log mkdir"
	if filepath.Base(path) == "snapshot" || filepath.Base(filepath.Dir(path)) == "snapshot" {
		kind = "snapshot mkdir"
	}
	return d.do(kind, func() error {
		d.made = append(d.made, path)
		return d.osFiles.mkdir(path)
	})
}

func (c simChange) apply(names map[string]*simFile) {
	delete(names, c.from)
	if names[c.name] = c.file; c.file == nil {
		delete(names, c.name)
	}
}

func (f *simFile) sync(size int) {
	if !f.lost {
		f.synced, f.ends = size, nil
	}
}

// simWriter is a snapshot that is written to a simDisk.
type simWriter struct {
	disk *simDisk
	out  newFile
	file *simFile
	size int
}

func (w *simWriter) Write(p []byte) (int, error) {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	f, err := w.disk.step("write")
	if err != nil {
		return 0, err
	}
	put := p
	if f != nil {
		put, err = f.left(p), f.err
	}
	n, writeErr := w.out.Write(put)
	w.size += n
	w.file.ends = append(w.file.ends, w.size)
	return n, errors.Join(err, writeErr)
}

// left is what a write that fails leaves.
func (f *fault) left(p []byte) []byte {
	switch {
	case f.done:
		return p
	case !f.part:
		return nil
	case f.junk:
		return append(slices.Clone(p[:len(p)/2]), bytes.Repeat([]byte{0xA5}, 37)...)
	}
	return p[:len(p)/2]
}

func (w *simWriter) Sync() error {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	err := w.disk.do("sync", func() error { w.file.sync(w.size); return nil })
	w.file.lost = w.file.lost || err != nil
	return err
}

func (w *simWriter) Close() error {
	w.disk.mu.Lock()
	defer w.disk.mu.Unlock()
	return errors.Join(w.disk.do("close", func() error { return nil }), w.out.Close())
}

// simLog is the log on a simDisk.
type simLog struct {
	logFile
	disk         *simDisk
	dir          string
	segmentBytes int
}

func (d *simDisk) openLog(dir string, segmentBytes int) (out logFile, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err = d.do("open", func() error {
		log, err := d.osFiles.openLog(dir, segmentBytes)
		out = &simLog{log, d, dir, segmentBytes}
		return errors.Join(err, d.see(dir))
	})
	return out, err
}

// see finds what tidwall/wal has done to the segments. It syncs each before it
// begins the next.
func (d *simDisk) see(dir string) error {
	segments, err := listSegments(dir)
	if err != nil {
		return err
	}
	for i, s := range segments {
		info, err := os.Stat(s.path)
		if err != nil {
			return err
		}
		file := d.files[s.path]
		if file == nil {
			file = &simFile{}
			d.files[s.path] = file
			d.change(s.path, simChange{file: file})
		}
		if size := int(info.Size()); i < len(segments)-1 {
			file.sync(size)
		} else if size > file.synced {
			file.ends = append(file.ends, size)
		}
	}
	return nil
}

func (l *simLog) Write(index uint64, data []byte) error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	f, err := l.disk.step("log write")
	switch {
	case err != nil:
		return err
	case f != nil:
		_, err := l.appendLast(f.left(entryOf(data)))
		return errors.Join(f.err, err, l.disk.see(l.dir))
	}
	if ends, err := l.endsSegment(data); err != nil {
		return err
	} else if ends {
		if err := l.endSegment(index, data); err != nil {
			return err
		}
	}
	return errors.Join(l.logFile.Write(index, data), l.disk.see(l.dir))
}

// appendLast adds bytes to the last segment, whose file it returns.
func (l *simLog) appendLast(b []byte) (*simFile, error) {
	segments, err := listSegments(l.dir)
	if err != nil {
		return nil, err
	}
	path := segments[len(segments)-1].path
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	_, err = file.Write(b)
	return l.disk.files[path], errors.Join(err, file.Close(), l.disk.see(l.dir))
}

// endsSegment reports whether the segment has its length with this entry.
func (l *simLog) endsSegment(data []byte) (bool, error) {
	segments, err := listSegments(l.dir)
	if err != nil {
		return false, err
	}
	info, err := os.Stat(segments[len(segments)-1].path)
	return err == nil && int(info.Size())+len(entryOf(data)) >= l.segmentBytes, err
}

// endSegment is what tidwall/wal does within a write that ends a segment, on the real
// files: once the entry is written it syncs the segment and creates the next. It only
// fails, and leaves what there is by then; what succeeds is done by the real write.
func (l *simLog) endSegment(index uint64, data []byte) error {
	for _, kind := range []string{"segment sync", "segment create"} {
		f, err := l.disk.step(kind)
		if f == nil && err == nil {
			continue
		}
		file, writeErr := l.appendLast(entryOf(data))
		if writeErr != nil {
			return writeErr
		}
		if kind == "segment sync" {
			file.lost = file.lost || f != nil
		} else {
			file.sync(file.ends[len(file.ends)-1])
		}
		if f != nil {
			err = f.err
			if f.done {
				err = errors.Join(err, os.WriteFile(filepath.Join(l.dir, segmentName(index+1)), nil, 0o600), l.disk.see(l.dir))
			}
		}
		return err
	}
	return nil
}

func (l *simLog) Sync() error {
	l.disk.mu.Lock()
	defer l.disk.mu.Unlock()
	segments, err := listSegments(l.dir)
	if err != nil {
		return err
	}
	path := segments[len(segments)-1].path
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	err = l.disk.do("log sync", func() error { l.disk.files[path].sync(int(info.Size())); return nil })
	l.disk.files[path].lost = l.disk.files[path].lost || err != nil
	return err
}

// What a crash keeps of what was not synced.
const (
	keepsAll  = "keeps all" // the process dies, the machine lives on
	keepsNone = "keeps none"
	keepsSome = "keeps some" // any subset, torn at any byte
)

// crash makes the directories what the disk has kept.
func (d *simDisk) crash(keeps string, random *rand.Rand) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.off = true
	some := func() bool { return keeps == keepsAll || keeps == keepsSome && random.IntN(2) == 0 }
	for _, made := range d.made {
		if !some() {
			if err := os.RemoveAll(made); err != nil {
				return err
			}
		}
	}
	for dir, sim := range d.dirs {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			continue
		}
		names := maps.Clone(sim.durable)
		for _, c := range sim.changes {
			if some() {
				c.apply(names)
			}
		}
		contents := map[string][]byte{}
		for name, file := range names {
			content := file.gone
			if content == nil {
				path := d.pathOf(file)
				var err error
				if content, err = os.ReadFile(path); err != nil {
					return fmt.Errorf("%s, now %s: %w", name, path, err)
				}
			}
			content = file.kept(content, keeps, some, random)
			if filepath.Base(filepath.Dir(dir)) == "log" && some() {
				content = append(content, make([]byte, random.IntN(300))...) // see preallocatedLog
			}
			contents[name] = content
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := os.Remove(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
		for name, content := range contents {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o640); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *simDisk) pathOf(file *simFile) string {
	for path, other := range d.files {
		if other == file {
			return path
		}
	}
	return "nowhere"
}

// kept is what is left of a file's bytes: those that are safe, and of the writes
// after them any subset, with zeros where one is missing, the last one torn.
func (f *simFile) kept(content []byte, keeps string, some func() bool, random *rand.Rand) []byte {
	if keeps == keepsAll {
		return content
	}
	kept := slices.Clone(content[:min(f.synced, len(content))])
	for i, begin := 0, f.synced; i < len(f.ends); i++ {
		end := f.ends[i]
		if end > begin && some() {
			kept = append(kept, make([]byte, begin-len(kept))...)
			if i == len(f.ends)-1 {
				end = begin + random.IntN(end-begin+1)
			}
			kept = append(kept, content[begin:end]...)
		}
		begin = f.ends[i]
	}
	return kept
}
