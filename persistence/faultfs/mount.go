package faultfs

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// ErrUnavailable says that this machine, or this user, can't mount a FUSE file
// system.
var ErrUnavailable = errors.New("no FUSE file system can be mounted here")

// Mount mounts the disk on a directory, until unmount is called, which may be
// repeated. A disk is mounted at one place at a time.
func (d *Disk) Mount(dir string) (unmount func() error, err error) {
	device, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := device.Close(); err != nil {
		return nil, err
	}
	server, err := fs.Mount(dir, &node{disk: d, object: d.root}, &fs.Options{
		MountOptions:   fuse.MountOptions{FsName: "faultfs", Name: "faultfs", DirectMountStrict: true, DisableXAttrs: true, MaxWrite: 64 << 10},
		RootStableAttr: &fs.StableAttr{Ino: d.root.ino, Mode: syscall.S_IFDIR},
	})
	switch {
	case errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.ENODEV):
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	case err != nil:
		return nil, fmt.Errorf("mount a disk on %s: %w", dir, err)
	}
	return sync.OnceValue(func() error {
		err := server.Unmount()
		if err != nil { // somebody still has a file open
			if lazy := syscall.Unmount(dir, syscall.MNT_DETACH); lazy != nil {
				return errors.Join(err, lazy)
			}
		}
		server.Wait()
		return err
	}), nil
}

// MountFor mounts the disk until unmount is called or the test ends. It skips the
// test where the machine can't mount, but where CI=true says that it must be able
// to and the user is root.
func (d *Disk) MountFor(t testing.TB) (dir string, unmount func()) {
	t.Helper()
	dir = t.TempDir()
	stop, err := d.Mount(dir)
	if err != nil {
		if _, noDevice := os.Stat("/dev/fuse"); errors.Is(err, ErrUnavailable) && (noDevice != nil || os.Getenv("CI") != "true" || os.Getuid() != 0) {
			t.Skipf("the disk below the service is not tried: a FUSE file system takes /dev/fuse and root: %v", err)
		}
		t.Fatal(err)
	}
	unmount = func() {
		t.Helper()
		if err := stop(); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	}
	t.Cleanup(unmount)
	return dir, unmount
}
