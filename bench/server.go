package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
)

// process is a server under measurement.
type process struct {
	address string
	command *exec.Cmd
	log     bytes.Buffer
}

// start runs a server that listens on the free loopback port that is passed to
// arguments, and waits until it answers 200 on ready.
func start(binary, ready string, arguments func(address string) []string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p := &process{address: address, command: exec.Command(binary, arguments(address)...)}
	p.command.Stdout, p.command.Stderr = &p.log, &p.log
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if c, err := dial(address); err == nil {
			status, _, err := c.do(message("GET", ready, "", ""))
			c.conn.Close()
			if err == nil && status == 200 {
				return p, nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.stop()
	return nil, fmt.Errorf("%s did not become ready on %s: %s", filepath.Base(binary), address, p.log.Bytes())
}

// stop ends the server with SIGTERM, and waits for it.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		_ = p.command.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		_ = p.command.Process.Kill()
		<-done
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

// serveEmpty is the limit that the exchange is measured against: fasthttp answers
// every request at once with a body of the given size.
func serveEmpty(address string, size int) error {
	body := bytes.Repeat([]byte{'x'}, size)
	server := &fasthttp.Server{
		NoDefaultServerHeader: true,
		Handler: func(ctx *fasthttp.RequestCtx) {
			ctx.Response.Header.SetContentType("application/json")
			ctx.SetBody(body)
		},
	}
	return server.ListenAndServe(address)
}

// build compiles the exchange into dir.
func build(dir string) (string, error) {
	binary := filepath.Join(dir, "exchange")
	command := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/exchange")
	command.Stderr = os.Stderr
	return binary, command.Run()
}
