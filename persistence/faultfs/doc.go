// Package faultfs is a disk for tests: a real file system, mounted with FUSE,
// that a process under test uses without knowing. It keeps its files in memory,
// fails on command the way disks fail, and loses its power: what was not synced,
// names included, is then lost or torn.
//
// Only tests import it. Where /dev/fuse is missing, or mounting takes rights that
// the process has not, Mount says so with ErrUnavailable.
package faultfs
