package faultfs

import (
	"context"
	"path"
	"slices"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// node is an object as FUSE knows it while it is mounted.
type node struct {
	fs.Inode
	disk   *Disk
	object *object
}

var _ interface {
	fs.NodeCreater
	fs.NodeFsyncer
	fs.NodeGetattrer
	fs.NodeLookuper
	fs.NodeMkdirer
	fs.NodeOpener
	fs.NodeReaddirer
	fs.NodeReader
	fs.NodeRenamer
	fs.NodeSetattrer
	fs.NodeStatfser
	fs.NodeUnlinker
	fs.NodeWriter
} = (*node)(nil)

func (n *node) path() string { return n.Path(nil) }

func (n *node) child(ctx context.Context, o *object, out *fuse.EntryOut) *fs.Inode {
	o.attr(&out.Attr)
	return n.NewInode(ctx, &node{disk: n.disk, object: o}, fs.StableAttr{Ino: o.ino, Mode: o.mode()})
}

func (o *object) mode() uint32 {
	if o.dir {
		return syscall.S_IFDIR
	}
	return syscall.S_IFREG
}

func (o *object) attr(out *fuse.Attr) {
	out.Ino, out.Mode, out.Nlink, out.Size = o.ino, o.mode()|0o600, 1, uint64(len(o.content))
	if o.dir {
		out.Mode |= 0o150
	}
}

func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	o := n.object.names[name]
	if o == nil {
		return nil, syscall.ENOENT
	}
	return n.child(ctx, o, out), 0
}

func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	n.object.attr(&out.Attr)
	return 0
}

func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	op := Op{Kind: "truncate", Path: n.path()}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if size, ok := in.GetSize(); ok {
		errno := n.disk.do(op, func() syscall.Errno {
			n.object.resize(int(size))
			return 0
		})
		if errno != 0 {
			return errno
		}
	}
	n.object.attr(&out.Attr)
	return 0
}

// resize shortens the file, or adds zeros to it.
func (o *object) resize(size int) {
	if missing := size - len(o.content); missing > 0 {
		o.change(edit{at: len(o.content), data: make([]byte, missing)})
	} else if missing < 0 {
		o.change(edit{at: size})
	}
}

func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	if flags&syscall.O_ACCMODE == syscall.O_RDONLY {
		return nil, 0, 0
	}
	op := Op{Kind: "open", Path: n.path()}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	return nil, 0, n.disk.do(op, func() syscall.Errno {
		if flags&syscall.O_TRUNC != 0 {
			n.object.resize(0)
		}
		return 0
	})
}

func (n *node) Create(ctx context.Context, name string, _, _ uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, errno := n.add(ctx, "create", name, n.disk.newFile, out)
	return inode, nil, 0, errno
}

func (n *node) Mkdir(ctx context.Context, name string, _ uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.add(ctx, "mkdir", name, n.disk.newDir, out)
}

func (n *node) add(ctx context.Context, kind, name string, make func() *object, out *fuse.EntryOut) (inode *fs.Inode, errno syscall.Errno) {
	op := Op{Kind: kind, Path: path.Join(n.path(), name)}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	errno = n.disk.do(op, func() syscall.Errno {
		if n.object.names[name] != nil {
			return syscall.EEXIST
		}
		o := make()
		n.object.rename(change{name: name, object: o})
		inode = n.child(ctx, o, out)
		return 0
	})
	return inode, errno
}

func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	from := min(int(off), len(n.object.content))
	return fuse.ReadResultData(slices.Clone(n.object.content[from:min(from+len(dest), len(n.object.content))])), 0
}

func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	op := Op{Kind: "write", Path: n.path()}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.disk.restFail == n.object {
		n.disk.restFail = nil
		return 0, n.disk.fault.Err
	}
	put := func(size int) uint32 {
		n.object.change(edit{at: int(off), data: slices.Clone(data[:size])})
		return uint32(size)
	}
	switch f := n.disk.step(op); {
	case f == nil:
		return put(len(data)), 0
	case f.Short && len(data) > 1:
		n.disk.restFail = n.object
		return put(len(data) / 2), 0
	case f.Done:
		put(len(data))
		return 0, f.Err
	default:
		return 0, f.Err
	}
}

func (n *node) Fsync(_ context.Context, _ fs.FileHandle, _ uint32) syscall.Errno {
	op := Op{Kind: "sync", Path: n.path()}
	if n.object.dir {
		op.Kind = "sync dir"
	}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	op.Size = len(n.object.content)
	errno := n.disk.do(op, func() syscall.Errno {
		if n.object.dir {
			n.object.syncNames()
		} else {
			n.object.sync(false)
		}
		return 0
	})
	if errno != 0 && !n.object.dir && !n.disk.noPower {
		n.object.sync(true)
	}
	return errno
}

func (n *node) Rename(_ context.Context, name string, newParent fs.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	to := newParent.(*node)
	if flags != 0 {
		return syscall.EINVAL
	}
	op := Op{Kind: "rename", Path: path.Join(to.path(), newName)}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	return n.disk.do(op, func() syscall.Errno {
		to.object.rename(change{name: newName, object: n.object.names[name], from: name, fromDir: n.object})
		return 0
	})
}

func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	op := Op{Kind: "unlink", Path: path.Join(n.path(), name)}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	return n.disk.do(op, func() syscall.Errno {
		n.object.rename(change{name: name})
		return 0
	})
}

func (n *node) Readdir(context.Context) (fs.DirStream, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	var entries []fuse.DirEntry
	for _, name := range sortedNames(n.object.names) {
		o := n.object.names[name]
		entries = append(entries, fuse.DirEntry{Name: name, Ino: o.ino, Mode: o.mode()})
	}
	return fs.NewListDirStream(entries), 0
}

// Statfs says that there is always room: what a full disk does is a Fault.
func (n *node) Statfs(_ context.Context, out *fuse.StatfsOut) syscall.Errno {
	out.Bsize, out.Frsize = 4096, 4096
	out.Blocks, out.Bfree, out.Bavail = 1<<30, 1<<30, 1<<30
	return 0
}
