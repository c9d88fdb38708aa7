package local

import (
	"errors"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// asyncSync is an asynchronous fdatasync(2): instead of a thread, a goroutine waits until
// the kernel makes an eventfd readable that Go's scheduler watches. It is
// io_submit(2) with IOCB_CMD_FDSYNC, since Linux 4.18.
//
// A thread in a system call keeps its share of the processors until the runtime's monitor
// takes that away, which looks for such threads every 20 µs as long as it finds some. With
// a thousand syncs a second this is a tenth of the CPU that the process takes.
//
// One goroutine at a time may call its methods.
type asyncSync struct {
	context uintptr // aio_context_t
	done    *os.File
	doneFD  uint32

	// Read and written by the kernel.
	request  iocb
	requests [1]*iocb
	event    ioEvent
	count    [8]byte
}

// iocb and ioEvent are the structures of io_submit(2) and io_getevents(2), from
// linux/aio_abi.h.
type iocb struct {
	_         [16]byte
	operation uint16
	_         [2]byte
	file      uint32
	_         [32]byte
	flags     uint32
	eventFile uint32
}

type ioEvent struct {
	_       uint64
	request uint64
	result  int64
	_       int64
}

const (
	iocbDataSync  = 3 // IOCB_CMD_FDSYNC
	iocbEventFile = 1 // IOCB_FLAG_RESFD
)

// newAsyncSync fails where the kernel, or a filter of system calls, forbids it.
func newAsyncSync() (*asyncSync, error) {
	s := &asyncSync{}
	if _, _, errno := unix.RawSyscall(unix.SYS_IO_SETUP, 1, uintptr(unsafe.Pointer(&s.context)), 0); errno != 0 { // #nosec G103 -- x/sys has no io_setup
		return nil, os.NewSyscallError("io_setup", errno)
	}
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), s.destroy())
	}
	s.done, s.doneFD = os.NewFile(uintptr(fd), "eventfd"), uint32(fd)
	if err := s.done.SetReadDeadline(time.Time{}); err != nil { // the scheduler does not watch it
		return nil, errors.Join(err, s.close())
	}
	s.requests[0] = &s.request
	return s, nil
}

// sync makes the data of the file fd durable.
func (s *asyncSync) sync(fd uintptr) error {
	s.request = iocb{operation: iocbDataSync, file: uint32(fd), flags: iocbEventFile, eventFile: s.doneFD}
	if n, _, _ := unix.RawSyscall(unix.SYS_IO_SUBMIT, s.context, 1, uintptr(unsafe.Pointer(&s.requests))); n != 1 { // #nosec G103 -- x/sys has no io_submit
		return fdatasync(fd) // nothing was begun
	}
	if _, err := s.done.Read(s.count[:]); err != nil {
		return err
	}
	for {
		_, _, errno := unix.Syscall6(unix.SYS_IO_GETEVENTS, s.context, 1, 1, uintptr(unsafe.Pointer(&s.event)), 0, 0) // #nosec G103 -- x/sys has no io_getevents
		switch {
		case errno == unix.EINTR:
			continue
		case errno != 0:
			return os.NewSyscallError("io_getevents", errno)
		case s.event.result < 0:
			return os.NewSyscallError("fdatasync", unix.Errno(-s.event.result))
		}
		return nil
	}
}

func (s *asyncSync) close() error { return errors.Join(s.destroy(), s.done.Close()) }

func (s *asyncSync) destroy() error {
	if _, _, errno := unix.RawSyscall(unix.SYS_IO_DESTROY, s.context, 0, 0); errno != 0 {
		return os.NewSyscallError("io_destroy", errno)
	}
	return nil
}

// fdatasync makes the data of the file fd durable, while the thread waits.
func fdatasync(fd uintptr) error {
	for {
		if err := unix.Fdatasync(int(fd)); err != unix.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
