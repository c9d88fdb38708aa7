package local

import (
	"errors"
	"io"
	"os"
)

// segmentLoader returns a segment's bytes, in buf if they fit and it likes to.
type segmentLoader func(s segment, buf []byte) ([]byte, error)

// loadSegment reads a segment from disk.
func loadSegment(s segment, buf []byte) ([]byte, error) {
	file, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if size := int(info.Size()); cap(buf) < size {
		buf = make([]byte, size, size+size/8) // the next may be a little longer
	} else {
		buf = buf[:size]
	}
	_, err = io.ReadFull(file, buf)
	return buf, errors.Join(err, file.Close())
}

// readAhead loads a segment while the one before is decoded, into two buffers in
// turn.
type readAhead struct {
	loaded  chan loadedSegment
	free    chan []byte
	stopped chan struct{}
	current []byte // the last result of next
	begun   bool
}

type loadedSegment struct {
	buf []byte
	err error
}

func startReadAhead(segments []segment, load segmentLoader) *readAhead {
	a := &readAhead{loaded: make(chan loadedSegment), free: make(chan []byte, 2), stopped: make(chan struct{})}
	a.free <- nil
	a.free <- nil
	go func() {
		defer close(a.stopped)
		for _, s := range segments {
			buf, more := <-a.free
			if !more {
				return
			}
			buf, err := load(s, buf)
			a.loaded <- loadedSegment{buf, err}
			if err != nil {
				return
			}
		}
	}()
	return a
}

// next returns the next segment's bytes, and takes back those of the one before.
// It is called once for each segment, until an error.
func (a *readAhead) next() ([]byte, error) {
	if a.begun {
		a.free <- a.current
	}
	a.begun = true
	s := <-a.loaded
	a.current = s.buf
	return s.buf, s.err
}

// stop waits until nothing is read any more.
func (a *readAhead) stop() {
	close(a.free)
	for {
		select {
		case <-a.loaded:
		case <-a.stopped:
			return
		}
	}
}
