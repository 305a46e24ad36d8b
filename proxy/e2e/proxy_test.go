package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that is sure to come.
const patience = time.Minute

// proxy is a strata serve as a process, with its own store.
type proxy struct {
	tb     testing.TB
	dir    string // holds the configuration, the store "data" and the working directory "strata-work"
	store  string // holds the store and the working directory of one that runs as shipped
	config string
	env    []string

	addr, admin string
	cmd         *exec.Cmd
	exited      chan struct{}
	log         *serverLog
}

// serverLog collects what a process logs.
type serverLog struct {
	mu    sync.Mutex
	lines []map[string]any
	rest  []byte        // of a line that is not complete
	wake  chan struct{} // closed, and replaced, when a line comes
	ended bool
}

// proxyOptions change a proxy from what newProxy makes.
type proxyOptions struct {
	rule string   // further keys of the rule that holds for all repositories, "key: value" lines
	top  string   // further keys of the configuration
	env  []string // further environment
	dir  string   // holds the store; default: an empty one
	// storage are the lines of the driver's parameters; default: a filesystem store in dir.
	storage string
}

// newProxy starts a proxy for an upstream that asks it on every pull. It ends with the test.
func newProxy(tb testing.TB, u *upstream, o proxyOptions) *proxy {
	tb.Helper()
	if o.dir == "" {
		o.dir = tb.TempDir()
	}
	if o.storage == "" {
		o.storage = "  filesystem:\n    rootdirectory: " + filepath.Join(o.dir, "data")
	}
	rule := ""
	for line := range strings.Lines(strings.TrimSpace("refresh: 0s\n" + o.rule)) {
		rule += "    " + strings.TrimSpace(line) + "\n"
	}
	text := fmt.Sprintf(`listen: 127.0.0.1:0
admin:
  listen: 127.0.0.1:0
shutdown_timeout: 20s
log:
  format: json
storage:
%s
default_upstream: %s
upstreams:
  %[2]s:
    url: %s
    insecure: true
    attempts: 2
    timeout: 20s
repositories:
  - match: "**"
%s%s`, o.storage, upstreamHost, u.server.URL, rule, o.top)
	p := &proxy{tb: tb, dir: o.dir, config: filepath.Join(o.dir, "config.yml"), env: o.env}
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	p.start()
	tb.Cleanup(p.cleanup)
	return p
}

// start runs the process and waits until it listens.
func (p *proxy) start() {
	p.tb.Helper()
	p.cmd = exec.Command(program, "serve", "--config", p.config)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "TMPDIR=" + os.TempDir()}, p.env...)
	p.run()
}

// run starts what p.cmd holds and waits until it listens.
func (p *proxy) run() {
	p.tb.Helper()
	p.log = &serverLog{wake: make(chan struct{})}
	p.cmd.Stderr = p.log
	if err := p.cmd.Start(); err != nil {
		p.tb.Fatal(err)
	}
	p.exited = make(chan struct{})
	go func() {
		_ = p.cmd.Wait() // the exit code is read from ProcessState
		p.log.end()
		close(p.exited)
	}()
	p.addr, p.admin = p.listening("clients"), p.listening("operators")
}

// listening waits until the process answers somebody and returns the address.
func (p *proxy) listening(who string) string {
	p.tb.Helper()
	line := p.log.await(p.tb, func(l map[string]any) bool { return l["msg"] == "listening for "+who })
	url, ok := line["url"].(string)
	if !ok {
		p.tb.Fatalf("strata logged no URL: %v", line)
	}
	return strings.TrimPrefix(url, "http://")
}

// Write takes what the process prints, one JSON object a line.
func (l *serverLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		text, rest, whole := bytes.Cut(l.rest, []byte("\n"))
		if !whole {
			break
		}
		var line map[string]any
		if json.Unmarshal(text, &line) != nil {
			line = map[string]any{"msg": string(text), "level": "OUTPUT"}
		}
		l.lines, l.rest = append(l.lines, line), rest
	}
	close(l.wake)
	l.wake = make(chan struct{})
	return len(b), nil
}

// end wakes those who await what will not come any more.
func (l *serverLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	close(l.wake)
	l.wake = make(chan struct{})
}

// await returns the first line that fits, and waits for it.
func (l *serverLog) await(tb testing.TB, fits func(map[string]any) bool) map[string]any {
	tb.Helper()
	timeout := time.After(patience)
	for {
		l.mu.Lock()
		i, wake, ended, all := slices.IndexFunc(l.lines, fits), l.wake, l.ended, l.lines
		l.mu.Unlock()
		switch {
		case i >= 0:
			return all[i]
		case ended:
			tb.Fatalf("strata ended before it logged what was awaited: %v", all)
		}
		select {
		case <-wake:
		case <-timeout:
			tb.Fatalf("strata did not log what was awaited: %v", all)
		}
	}
}

// find returns the lines that fit.
func (l *serverLog) find(fits func(map[string]any) bool) []map[string]any {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []map[string]any
	for _, line := range l.lines {
		if fits(line) {
			out = append(out, line)
		}
	}
	return out
}

// image is the name of an image of the upstream at the proxy.
func (p *proxy) image(name string) string { return p.addr + "/" + upstreamHost + "/" + name }

// kill ends the process as a power cut would.
func (p *proxy) kill() {
	p.tb.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.tb.Fatal(err)
	}
	<-p.exited
}

// terminate asks the process to end.
func (p *proxy) terminate() {
	p.tb.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.tb.Fatal(err)
	}
}

// wait returns the exit code of a process that was asked to end.
func (p *proxy) wait() int {
	p.tb.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.tb.Error("strata serve did not end")
		p.kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *proxy) cleanup() {
	select {
	case <-p.exited:
	default:
		p.terminate()
		if code := p.wait(); code != 0 {
			p.tb.Errorf("strata serve ended with exit code %d", code)
		}
	}
	if !p.tb.Failed() {
		return
	}
	for _, line := range p.log.find(func(l map[string]any) bool { return l["level"] != "INFO" || l["msg"] != "request" }) {
		p.tb.Log("strata:", line)
	}
}

// strata runs a command of the program and decodes the JSON document that it prints.
func strata(tb testing.TB, out any, args ...string) {
	tb.Helper()
	b := command(tb, nil, program, append(args, "--json")...)
	if err := json.Unmarshal([]byte(b), out); err != nil {
		tb.Fatalf("strata %s: %v: %s", args[0], err, b)
	}
}
