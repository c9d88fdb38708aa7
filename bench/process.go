package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// process is a server that bench started: one under measurement, or the database
// of one.
type process struct {
	name    string
	address string // of its HTTP server; empty for a database
	command *exec.Cmd
	exited  chan struct{}
	log     logTail
	signal  syscall.Signal // that stops it in order
}

// logTail keeps the last of what a process wrote.
type logTail struct {
	mu   sync.Mutex
	text []byte
}

func (l *logTail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if over := len(l.text) - 8<<10; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(b), nil
}

func (l *logTail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.text))
}

// launch runs a command that dies with bench: the kernel kills it when bench is
// killed. It is in a group of its own, so that an interrupt at the terminal is for
// bench alone, which stops it in order.
func launch(command *exec.Cmd, signal syscall.Signal) (*process, error) {
	p := &process{name: filepath.Base(command.Path), command: command, exited: make(chan struct{}), signal: signal}
	command.Stdout, command.Stderr = &p.log, &p.log
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	command.SysProcAttr.Setpgid = true
	command.SysProcAttr.Pdeathsig = syscall.SIGKILL
	if err := command.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = command.Wait()
		close(p.exited)
	}()
	return p, nil
}

// startTimeout is how long a server may take to be ready.
const startTimeout = time.Minute

// startServer launches an HTTP server on a free loopback port, and waits until it
// answers 200 on ready.
func startServer(ctx context.Context, binary, ready string, arguments func(address string) []string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := launch(exec.Command(binary, arguments(address)...), syscall.SIGTERM)
	if err != nil {
		return nil, err
	}
	p.address = address
	err = p.await(ctx, func() error {
		_, err := get(address, ready)
		return err
	})
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// await calls ready every few milliseconds until it returns nil, and gives up when
// the process exits.
func (p *process) await(ctx context.Context, ready func() error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	every := time.NewTicker(10 * time.Millisecond)
	defer every.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-every.C:
		case <-p.exited:
			return fmt.Errorf("%s exited: %s", p.name, &p.log)
		case <-ctx.Done():
			return fmt.Errorf("%s did not become ready: %w: %s", p.name, errors.Join(ctx.Err(), err), &p.log)
		}
	}
}

// stop ends the process and waits for it.
func (p *process) stop() {
	_ = p.command.Process.Signal(p.signal)
	select {
	case <-p.exited:
	case <-time.After(10 * time.Second):
		_ = p.command.Process.Kill()
		<-p.exited
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// build compiles a command of this module into dir.
func build(ctx context.Context, dir, name, pkg string) (string, error) {
	binary := filepath.Join(dir, name)
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", binary, pkg)
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return "", fmt.Errorf("go build %s: %w", pkg, err)
	}
	return binary, nil
}
