package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/oneshot/imagetest"
	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"strata": main})
}

// TestScripts runs the command as people and scripts do. Beside testscript's own commands the scripts have those of this
// file.
func TestScripts(t *testing.T) {
	t.Parallel()
	repository, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Setup: func(e *testscript.Env) error { e.Setenv("REPOSITORY", repository); return nil },
		Dir:   "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"mkimage": mkimage(t), "theirs": theirs, "registry": startRegistry, "freeport": freePort, "ready": ready,
			"exits":     exits,
			"interrupt": interrupt,
			"jsonkeys":  jsonKeys, "field": field, "sum": sum, "oneline": oneLine, "emptydir": emptyDir, "expand": expand,
			"damage": damage, "absent": absent, "metric": metric, "hangup": hangup, "smalldisk": smallDisk,
			"document": document, "block": block,
		},
		Condition: mayMount,
	})
}

// mkimage REF FILE writes an image that holds what FILE describes, a line each: "dir PATH", "file PATH KIB SEED",
// "symlink PATH TARGET", "hardlink PATH TARGET" or "text PATH WORD…".
func mkimage(t *testing.T) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 2 {
			ts.Fatalf("usage: mkimage REF FILE")
		}
		var items []treetest.Item
		lines := bufio.NewScanner(strings.NewReader(ts.ReadFile(args[1])))
		for lines.Scan() {
			if words := strings.Fields(lines.Text()); len(words) > 0 {
				items = append(items, imageItem(ts, words))
			}
		}
		ref := strings.Replace(args[0], ":", ":"+ts.MkAbs(".")+"/", 1)
		if strings.HasPrefix(args[0], "docker://") {
			ref = args[0]
		}
		imagetest.Image{Layers: [][]treetest.Item{items}}.Write(t, ref)
	}
}

func imageItem(ts *testscript.TestScript, words []string) treetest.Item {
	switch {
	case words[0] == "dir" && len(words) == 2:
		return treetest.Dir(words[1])
	case words[0] == "file" && len(words) == 4:
		kib, err := strconv.Atoi(words[2])
		ts.Check(err)
		return treetest.File(words[1], imagetest.Noise(words[3], kib<<10)).WithXattr("user.component", words[1])
	case words[0] == "symlink" && len(words) == 3:
		return treetest.Symlink(words[1], words[2])
	case words[0] == "hardlink" && len(words) == 3:
		return treetest.Hardlink(words[1], words[2])
	case words[0] == "text" && len(words) > 2:
		return treetest.File(words[1], strings.Join(words[2:], " "))
	}
	ts.Fatalf("mkimage: %q describes nothing", words)
	return treetest.Item{}
}

// startRegistry is the command registry NAME: an empty registry, whose port is in the variable NAME. With tls after the name
// it speaks HTTPS, with a certificate that nobody trusts.
func startRegistry(ts *testscript.TestScript, _ bool, args []string) {
	s := httptest.NewUnstartedServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if len(args) > 1 && args[1] == "tls" {
		s.StartTLS()
	} else {
		s.Start()
	}
	ts.Defer(s.Close)
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// freePort is the command freeport NAME…: ports that nobody listens on, each in its variable.
func freePort(ts *testscript.TestScript, _ bool, args []string) {
	for _, name := range args {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer l.Close()
		_, port, err := net.SplitHostPort(l.Addr().String())
		ts.Check(err)
		ts.Setenv(name, port)
	}
}

// expand FILE puts the values of variables in the place of $NAME.
func expand(ts *testscript.TestScript, _ bool, args []string) {
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

// ready URL waits until the proxy at URL is ready.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := admin.NewClient(args[0], nil)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for client.Ready(ctx) != nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ts.Fatalf("%s does not get ready", args[0])
		}
	}
}

// exits CODE COMMAND… runs a command that has to end with an exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	checkExit(ts, ts.Exec(args[1], args[2:]...), want)
}

func checkExit(ts *testscript.TestScript, err error, want int) {
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// interrupt COMMAND… runs a command with a server that never answers instead of ADDR, and sends SIGINT when it has asked
// that.
func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	asked, over := make(chan struct{}, 1), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-over
	}))
	defer s.Close()
	defer close(over)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "ADDR", s.Listener.Addr().String())
	}
	var stderr strings.Builder
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stderr, cmd.Env = ts.MkAbs("."), &stderr, append(os.Environ(), "TMPDIR="+ts.Getenv("TMPDIR"))
	ts.Check(cmd.Start())
	select {
	case <-asked:
	case <-time.After(time.Minute):
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	checkExit(ts, cmd.Wait(), exitInterrupted)
	if got := stderr.String(); got != "strata: interrupted\n" {
		ts.Fatalf("stderr: %s", got)
	}
}

// jsonKeys is the command jsonkeys FILE KEY…: the file is one JSON document with just these keys.
func jsonKeys(ts *testscript.TestScript, _ bool, args []string) {
	var document map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &document))
	want := slices.Sorted(slices.Values(args[1:]))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(document))); diff != "" {
		ts.Fatalf("keys of %s (-want +got):\n%s", args[0], diff)
	}
}

// field is the command field FILE PATH NAME: the value at keys joined by dots of a JSON document, in the variable NAME.
func field(ts *testscript.TestScript, _ bool, args []string) {
	decoder := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	decoder.UseNumber()
	var value any
	ts.Check(decoder.Decode(&value))
	for key := range strings.SplitSeq(args[1], ".") {
		object, ok := value.(map[string]any)
		if value = object[key]; !ok || value == nil {
			ts.Fatalf("%s has no %s", args[0], args[1])
		}
	}
	ts.Setenv(args[2], fmt.Sprint(value))
}

// sum is the command sum TOTAL PART…: the parts add up.
func sum(ts *testscript.TestScript, _ bool, args []string) {
	var numbers []int64
	for _, a := range args {
		n, err := strconv.ParseInt(a, 10, 64)
		ts.Check(err)
		numbers = append(numbers, n)
	}
	for _, n := range numbers[1:] {
		numbers[0] -= n
	}
	if numbers[0] != 0 {
		ts.Fatalf("%s: %d too many", strings.Join(args, " "), numbers[0])
	}
}

// oneLine is the command oneline FILE: the file is a single line.
func oneLine(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
		ts.Fatalf("not one line:\n%s", text)
	}
}

// emptyDir is the command emptydir DIR: the directory holds nothing.
func emptyDir(ts *testscript.TestScript, _ bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(entries) > 0 {
		ts.Fatalf("%s is not empty: %v", args[0], entries)
	}
}
