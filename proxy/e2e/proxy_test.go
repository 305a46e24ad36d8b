package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/programtest"
)

// proxy is a strata serve as a process, with its own store.
type proxy struct {
	tb     testing.TB
	dir    string // holds the configuration, the store "data" and the working directory "strata-work"
	store  string // holds the store and the working directory of one that runs as shipped
	config string
	env    []string

	*programtest.Program
}

// proxyOptions change a proxy from what newProxy makes.
type proxyOptions struct {
	rule string   // further keys of the rule that holds for all repositories, "key: value" lines
	top  string   // further keys of the configuration
	env  []string // further environment
	via  string   // address of another Strata that has the upstream's images; there is no upstream then
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
	from := "via: http://" + o.via
	if o.via == "" {
		from = "url: " + u.server.URL
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
    %s
    insecure: true
    attempts: 2
    timeout: 20s
repositories:
  - match: "**"
%s%s`, o.storage, upstreamHost, from, rule, o.top)
	p := &proxy{tb: tb, dir: o.dir, config: filepath.Join(o.dir, "config.yml"), env: o.env}
	if err := os.WriteFile(p.config, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	p.start()
	return p
}

// start runs the process, anew after it has ended, and waits until it listens.
func (p *proxy) start() {
	p.tb.Helper()
	p.Program = programtest.Start(p.tb, programtest.Options{Program: program, Config: p.config, Dir: p.dir, Env: p.env})
}

// image is the name of an image of the upstream at the proxy.
func (p *proxy) image(name string) string { return p.Clients + "/" + upstreamHost + "/" + name }

// strata runs a command of the program and decodes the JSON document that it prints.
func strata(tb testing.TB, out any, args ...string) {
	tb.Helper()
	b := command(tb, nil, program, append(args, "--json")...)
	if err := json.Unmarshal([]byte(b), out); err != nil {
		tb.Fatalf("strata %s: %v: %s", args[0], err, b)
	}
}
