package main

import (
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// damage NAME DIR changes a byte in the middle of the largest file below DIR, whose digest is in the variable NAME.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	var largest string
	var most int64
	ts.Check(filepath.WalkDir(ts.MkAbs(args[1]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Size() > most {
			largest, most = path, info.Size()
		}
		return err
	}))
	b, err := os.ReadFile(largest)
	ts.Check(err)
	b[len(b)/2] ^= 1
	ts.Check(os.WriteFile(largest, b, 0o600))
	ts.Setenv(args[0], "sha256:"+filepath.Base(largest))
}

// absent DIR DIGEST: no file below DIR has the content of the digest.
func absent(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, _ fs.DirEntry, err error) error {
		if "sha256:"+filepath.Base(path) == args[1] {
			ts.Fatalf("%s is there", path)
		}
		return err
	}))
}

// metric URL PATTERN waits until the metrics at URL have a line that the pattern is all of.
func metric(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile(`(?m)^` + args[1] + `$`)
	client := http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	var text []byte
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := client.Get(args[0])
		ts.Check(err)
		text, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		ts.Check(err)
		if pattern.Match(text) {
			return
		}
	}
	ts.Fatalf("no line %s in\n%s", args[1], text)
}

// mayMount is the condition mount: that smalldisk works.
func mayMount(condition string) (bool, error) {
	if condition != "mount" {
		return false, fmt.Errorf("unknown condition %q", condition)
	}
	return runtime.GOOS == "linux" && os.Getuid() == 0, nil
}

// smallDisk is the command smalldisk DIR SIZE: a filesystem of some bytes at a directory.
func smallDisk(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+args[1], "tmpfs", dir).CombinedOutput(); err != nil {
		ts.Fatalf("mount: %v: %s", err, out)
	}
	ts.Defer(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			ts.Logf("umount: %v: %s", err, out)
		}
	})
}

// hangup sends SIGHUP to what runs in the background.
func hangup(ts *testscript.TestScript, _ bool, _ []string) {
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGHUP))
	}
}
