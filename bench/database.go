package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// errMissing tells how to get a peer's server. A run without it would not be the
// comparison that was asked for, so it fails.
type errMissing struct{ program, pkg string }

func (e *errMissing) Error() string {
	return fmt.Sprintf("%s is not installed: run `make bench-deps`, or apt-get install %s", e.program, e.pkg)
}

// Settings of the databases that matter; the rest are the defaults. Both sync every
// commit before they acknowledge it.
var (
	postgresSettings = []string{
		"listen_addresses=", "fsync=on", "synchronous_commit=on", "full_page_writes=on",
		"shared_buffers=1GB", "wal_buffers=16MB", "max_wal_size=8GB", "checkpoint_timeout=30min",
		"max_connections=100", "jit=off", "huge_pages=try",
	}
	redisSettings = []string{
		"--port", "0", "--appendonly", "yes", "--appendfsync", "always", "--save", "",
		"--auto-aof-rewrite-percentage", "0", "--daemonize", "no",
	}
)

// postgresBinaries finds the newest installed version's directory. Debian keeps it
// off the PATH.
func postgresBinaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(strings.Split(path, "/")[4])
		return n
	}
	if len(found) > 0 {
		newest := slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })
		return filepath.Dir(newest), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			return filepath.Dir(path), nil
		}
	}
	return "", &errMissing{"PostgreSQL", "postgresql"}
}

// unprivileged returns how to run a program that refuses to be root: as the user
// postgres, or nobody. It is nil where bench itself is not root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(u.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(errUID, errGID); err != nil {
			return nil, err
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL refuses to run as root, and there is no user postgres or nobody to run it as")
}

// startPostgres makes a cluster in dir and serves it on a Unix socket there. The
// connection string is for pgx.
func startPostgres(ctx context.Context, dir string) (database *process, connection, version string, err error) {
	binaries, err := postgresBinaries()
	if err != nil {
		return nil, "", "", err
	}
	credential, err := unprivileged()
	if err != nil {
		return nil, "", "", err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, "", "", err
	}
	if credential != nil {
		if err := os.Chown(dir, int(credential.Uid), int(credential.Gid)); err != nil {
			return nil, "", "", err
		}
	}
	attributes := func() *syscall.SysProcAttr { return &syscall.SysProcAttr{Credential: credential} }
	data := filepath.Join(dir, "data")
	initialize := exec.CommandContext(ctx, filepath.Join(binaries, "initdb"), "-D", data, "-U", "bench", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	initialize.SysProcAttr, initialize.Dir = attributes(), dir
	if out, err := initialize.CombinedOutput(); err != nil {
		return nil, "", "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	arguments := []string{"-D", data, "-k", dir}
	for _, s := range postgresSettings {
		arguments = append(arguments, "-c", s)
	}
	server := exec.Command(filepath.Join(binaries, "postgres"), arguments...)
	server.SysProcAttr, server.Dir = attributes(), dir
	// SIGINT is its fast shutdown, which does not wait for clients to leave.
	database, err = launch(server, syscall.SIGINT)
	if err != nil {
		return nil, "", "", err
	}
	connection = "host=" + dir + " user=bench dbname=postgres sslmode=disable"
	err = database.await(ctx, func() error {
		c, err := pgx.Connect(ctx, connection)
		if err != nil {
			return err
		}
		defer c.Close(ctx)
		return c.QueryRow(ctx, "show server_version").Scan(&version)
	})
	if err != nil {
		database.stop()
		return nil, "", "", err
	}
	return database, connection, version, nil
}

// startRedis serves a new database in dir on a Unix socket there.
func startRedis(ctx context.Context, dir string) (database *process, socket, version string, err error) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, "", "", &errMissing{"Redis", "redis-server"}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, "", "", err
	}
	socket = filepath.Join(dir, "socket")
	arguments := append([]string{"--dir", dir, "--unixsocket", socket, "--maxclients", "1000"}, redisSettings...)
	database, err = launch(exec.Command(binary, arguments...), syscall.SIGTERM)
	if err != nil {
		return nil, "", "", err
	}
	err = database.await(ctx, func() error {
		_, err := os.Stat(socket)
		return err
	})
	if err != nil {
		database.stop()
		return nil, "", "", err
	}
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	if _, after, found := strings.Cut(string(out), "v="); found {
		version = strings.Fields(after)[0]
	}
	return database, socket, version, err
}
