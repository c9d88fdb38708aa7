package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// buildVersion is set by the linker (make build); without it, the module's own.
var buildVersion string

func versionString() string {
	if buildVersion != "" {
		return buildVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func version(args []string, env func(string) string, stdout, _ io.Writer) error {
	o := newOptions("version", "Print the version of this program and of the Go it was built with.")
	if err := o.parse(args, env, stdout); err != nil {
		return err
	}
	_, err := fmt.Fprintf(stdout, "exchange %s %s %s/%s\n", versionString(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
