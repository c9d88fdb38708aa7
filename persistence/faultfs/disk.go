package faultfs

import (
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Op is something a process did to the disk.
type Op struct {
	Kind string // open (to write), create, write, truncate, sync, sync dir, mkdir, rename or unlink
	Path string // from the root, as "log/0000"; of a rename the new one
	Size int    // of the file that is synced, in bytes; 0 for all others
}

func (o Op) String() string { return o.Kind + " " + o.Path }

// Fault is what becomes of one operation. It happens once: a second attempt
// succeeds.
type Fault struct {
	Err   syscall.Errno
	Short bool // a write: its first half is written, Err comes with the attempt to write the rest
	Done  bool // it is carried out all the same
	Power bool // the power goes: nothing is carried out from now on, Err (EIO if 0) comes each time
}

func (f Fault) String() string {
	switch {
	case f.Power:
		return "the power is cut"
	case f.Short:
		return "half, then " + f.Err.Error()
	case f.Done:
		return f.Err.Error() + " after it was done"
	}
	return f.Err.Error()
}

// Disk is what is kept while the file system is mounted, unmounted, and mounted
// again. The zero value is of no use; New makes one. Its methods may be called
// from any goroutine.
type Disk struct {
	mu       sync.Mutex // guards all below, and every object
	root     *object
	lastIno  uint64
	trace    []Op
	tracing  bool
	armed    func(Op) bool // nil: no fault is to come
	left     int           // operations that armed matches until the fault is due
	fault    Fault
	fired    chan struct{} // closed when the fault has come
	firedAt  Op
	after    []Op // what was tried after that
	noPower  bool
	restFail *object // file whose next write fails, the rest of a short one
}

// New returns an empty disk.
func New() *Disk {
	d := &Disk{}
	d.root = d.newDir()
	return d
}

// Arm makes the n-th operation from now, counted from 1 among those that match,
// fail. It forgets an earlier fault.
func (d *Disk) Arm(match func(Op) bool, n int, f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed, d.left, d.fault = match, n, f
	d.fired, d.firedAt, d.after, d.restFail, d.noPower = make(chan struct{}), Op{}, nil, nil, false
}

// Disarm lets everything succeed again.
func (d *Disk) Disarm() { d.Arm(nil, 0, Fault{}) }

// Fired is closed when the fault has come.
func (d *Disk) Fired() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.fired
}

// What says at which operation the fault came, and what was tried afterwards. ok
// is false if it has not come.
func (d *Disk) What() (at Op, after []Op, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.firedAt, slices.Clone(d.after), d.firedAt != Op{}
}

// Record begins to keep a list of all operations.
func (d *Disk) Record() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trace, d.tracing = nil, true
}

// Recorded returns the list.
func (d *Disk) Recorded() []Op {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.trace)
}

// Cut takes the power away from a disk that is not mounted: what was not synced is
// lost, except that of every single write, truncation and change of a name keep
// decides, and a write that is kept may be torn at any byte. A nil random keeps
// none of it.
func (d *Disk) Cut(random *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.root.cut(random)
}

// step counts an operation. It returns what must become of it; nil is success. The
// caller holds mu.
func (d *Disk) step(op Op) *Fault {
	if d.tracing {
		d.trace = append(d.trace, op)
	}
	if (d.firedAt != Op{}) {
		d.after = append(d.after, op)
	}
	if d.noPower {
		return &Fault{Err: syscall.EIO}
	}
	if d.armed == nil || !d.armed(op) {
		return nil
	}
	if d.left--; d.left != 0 {
		return nil
	}
	d.armed, d.firedAt = nil, op
	close(d.fired)
	if d.fault.Power {
		d.noPower = true
		return &Fault{Err: syscall.EIO}
	}
	return &d.fault
}

// do carries an operation out, or not. The caller holds mu.
func (d *Disk) do(op Op, act func() syscall.Errno) syscall.Errno {
	f := d.step(op)
	if f == nil {
		return act()
	}
	if f.Done {
		act()
	}
	return f.Err
}

// object is a file or a directory, whatever its name is.
type object struct {
	ino uint64
	dir bool

	content []byte // of a file, as a process reads it
	safe    []byte // as it is once the power has gone
	edits   []edit // since the last sync

	names     map[string]*object // in a directory
	safeNames map[string]*object
	changes   []change // since the last sync
}

// edit is a write, or a truncation if data is nil.
type edit struct {
	at   int
	data []byte
}

// change makes name that object, or nothing; a rename also takes from, in the
// directory fromDir, away.
type change struct {
	name    string
	object  *object
	from    string
	fromDir *object
}

func (d *Disk) newFile() *object {
	d.lastIno++
	return &object{ino: d.lastIno}
}

func (d *Disk) newDir() *object {
	d.lastIno++
	return &object{ino: d.lastIno, dir: true, names: map[string]*object{}, safeNames: map[string]*object{}}
}

func (e edit) apply(content []byte) []byte {
	end := e.at + len(e.data)
	if end > len(content) {
		content = append(content, make([]byte, end-len(content))...)
	}
	if e.data == nil {
		return content[:e.at]
	}
	copy(content[e.at:], e.data)
	return content
}

func (o *object) change(e edit) {
	o.content = e.apply(o.content)
	o.edits = append(o.edits, e)
}

// sync makes what a file holds safe. If it fails, the kernel counts the edits as
// written all the same: no later sync brings them to the disk.
func (o *object) sync(failed bool) {
	if !failed {
		for _, e := range o.edits {
			o.safe = e.apply(o.safe)
		}
	}
	o.edits = nil
}

func (o *object) rename(c change) {
	c.apply(o.names, func(dir *object) map[string]*object { return dir.names })
	o.changes = append(o.changes, c)
}

func (c change) apply(names map[string]*object, of func(*object) map[string]*object) {
	if c.fromDir != nil {
		delete(of(c.fromDir), c.from)
	}
	if names[c.name] = c.object; c.object == nil {
		delete(names, c.name)
	}
}

// syncNames makes the names in a directory safe.
func (o *object) syncNames() {
	for _, c := range o.changes {
		c.apply(o.safeNames, func(dir *object) map[string]*object { return dir.safeNames })
	}
	o.changes = nil
}

// cut makes the object, and what is in it, what the power leaves.
func (o *object) cut(random *rand.Rand) {
	kept := func() bool { return random != nil && random.IntN(2) == 0 }
	for _, e := range o.edits {
		if !kept() {
			continue
		}
		if n := len(e.data); n > 0 && kept() { // torn
			e.data = e.data[:random.IntN(n)+1]
		}
		o.safe = e.apply(o.safe)
	}
	o.content, o.edits = slices.Clone(o.safe), nil
	o.changes = slices.DeleteFunc(o.changes, func(change) bool { return !kept() })
	o.syncNames()
	o.names = map[string]*object{}
	for name, child := range o.safeNames {
		o.names[name] = child
	}
	for _, name := range sortedNames(o.names) { // in one order, for the seed
		o.names[name].cut(random)
	}
}

func sortedNames(names map[string]*object) []string {
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	return sorted
}

// Tree lists the files and directories, with the sizes of files, to be shown when
// a test has failed.
func (d *Disk) Tree() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var b strings.Builder
	var list func(at string, o *object)
	list = func(at string, o *object) {
		for _, name := range sortedNames(o.names) {
			child := o.names[name]
			if child.dir {
				fmt.Fprintf(&b, "%s/\n", path.Join(at, name))
				list(path.Join(at, name), child)
			} else {
				fmt.Fprintf(&b, "%s %d bytes, %d of them safe\n", path.Join(at, name), len(child.content), len(child.safe))
			}
		}
	}
	list("", d.root)
	return b.String()
}
