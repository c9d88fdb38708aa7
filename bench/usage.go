package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// usage is what processes have used since they began.
type usage struct {
	cpu     time.Duration // user and system, of all threads
	written uint64        // bytes for the disk
	allocs  uint64        // heap objects of the HTTP server
}

func (u usage) since(before usage) usage {
	return usage{u.cpu - before.cpu, u.written - before.written, u.allocs - before.allocs}
}

// tick is the unit of CPU times in /proc, USER_HZ, which is 100 on Linux whatever
// the kernel's own is.
const tick = 10 * time.Millisecond

// usageOf adds up the processes with these ids and all that descend from them:
// PostgreSQL is one process a connection.
func usageOf(roots ...int) (usage, error) {
	var sum usage
	parents, err := parentsOf()
	if err != nil {
		return sum, err
	}
	for pid := range parents {
		if !descends(pid, roots, parents) {
			continue
		}
		u, err := usageOfProcess(pid)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it exited meanwhile
		}
		if err != nil {
			return sum, err
		}
		sum.cpu += u.cpu
		sum.written += u.written
	}
	return sum, nil
}

func descends(pid int, roots []int, parents map[int]int) bool {
	for ; pid > 1; pid = parents[pid] {
		for _, root := range roots {
			if pid == root {
				return true
			}
		}
	}
	return false
}

func parentsOf() (map[int]int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	parents := make(map[int]int, len(files))
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue // it exited meanwhile
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return nil, err
		}
		s, err := parseStat(content)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		parents[pid] = s.parent
	}
	return parents, nil
}

// stat is what bench reads of /proc/PID/stat, see proc_pid_stat(5).
type stat struct {
	parent int
	cpu    time.Duration
}

func parseStat(content []byte) (stat, error) {
	// The name, in parentheses, may hold anything.
	end := bytes.LastIndexByte(content, ')')
	fields := bytes.Fields(content[end+1:])
	if end < 0 || len(fields) < 13 {
		return stat{}, fmt.Errorf("not a process's stat: %q", content)
	}
	var numbers [3]int64
	for i, field := range []int{1, 11, 12} { // ppid, utime, stime
		n, err := strconv.ParseInt(string(fields[field]), 10, 64)
		if err != nil {
			return stat{}, err
		}
		numbers[i] = n
	}
	return stat{int(numbers[0]), time.Duration(numbers[1]+numbers[2]) * tick}, nil
}

func usageOfProcess(pid int) (usage, error) {
	dir := "/proc/" + strconv.Itoa(pid)
	content, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return usage{}, err
	}
	s, err := parseStat(content)
	if err != nil {
		return usage{}, err
	}
	content, err = os.ReadFile(dir + "/io")
	if err != nil {
		return usage{}, fmt.Errorf("bytes written: %w", err)
	}
	written, err := lineValue(content, "write_bytes: ")
	return usage{cpu: s.cpu, written: written}, err
}

// lineValue reads the number of the line that begins with name.
func lineValue(content []byte, name string) (uint64, error) {
	for line := range bytes.Lines(content) {
		if value, found := bytes.CutPrefix(line, []byte(name)); found {
			return strconv.ParseUint(string(bytes.TrimSpace(value)), 10, 64)
		}
	}
	return 0, fmt.Errorf("no line %q", name)
}

// disk is the block device of a directory. What it was given to write is what a
// change costs in the end, with the file system's own journal. It counts the whole
// machine's writes, though, so it is for a machine that does nothing else. The
// write_bytes of /proc/PID/io are the process's own, but on Linux 6.16 and later
// they count all of a large folio for each small write into a preallocated file:
// 290 KB for each 8 KB of PostgreSQL's log.
type disk struct{ stat string }

// diskOf finds the device of dir. ok is false where the file system has none of its
// own, as in a container.
func diskOf(dir string) (d disk, ok bool) {
	var s unix.Stat_t
	if unix.Stat(dir, &s) != nil {
		return d, false
	}
	d.stat = fmt.Sprintf("/sys/dev/block/%d:%d/stat", unix.Major(s.Dev), unix.Minor(s.Dev))
	_, err := d.written()
	return d, err == nil
}

// written is in bytes; see Documentation/block/stat.rst of Linux, in which a sector
// is 512 bytes.
func (d disk) written() (uint64, error) {
	content, err := os.ReadFile(d.stat)
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(content)
	if len(fields) < 7 {
		return 0, fmt.Errorf("%s: %q", d.stat, content)
	}
	sectors, err := strconv.ParseUint(string(fields[6]), 10, 64)
	return sectors * 512, err
}

// allocsOf reads how many heap objects the Go server at address has made.
func allocsOf(address string) (uint64, error) {
	content, err := get(address, "/metrics")
	if err != nil {
		return 0, err
	}
	n, err := lineValue(content, "go_memstats_mallocs_total ")
	if err != nil {
		return 0, fmt.Errorf("/metrics of %s: %w", address, err)
	}
	return n, nil
}
