package main

import (
	"cmp"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/strata-oci/strata/"

// room is a rule for the code below a directory.
type room struct {
	dir string
	// directories of this module, what is below them included; a room may always import what is below itself
	may     []string
	mustNot []string // other packages, what is below them included
}

// rooms says what the code below a directory may import: of this module, and not of the rest. The longest directory that
// fits counts. Imports go one way: cmd/proxy → proxy → rechunk, chunkstore (docs/design.md).
var rooms = []room{
	{"cmd", []string{"proxy", "chunkstore", "rechunk"}, nil},
	{"bench", []string{"proxy", "chunkstore", "rechunk", "cmd"}, nil},
	{"proxy", []string{"chunkstore", "rechunk"}, nil},
	{"proxy/name", nil, []string{"net/http", "os"}},
	{"proxy/oci", []string{"rechunk/image"}, append([]string{"os", "net/http"}, registries[2:]...)},
	{"proxy/verify", nil, append([]string{"os", "context", "net/http"}, registries[2:]...)},
	{"proxy/registry", []string{"proxy/limits", "proxy/name", "proxy/tracing", "chunkstore/casync"},
		[]string{"github.com/google/go-containerregistry", "github.com/distribution/distribution"}},
	// client → auth → transport → upstream → header.
	{"proxy/upstream", []string{"rechunk/legible"}, upstreamRooms("client", "auth", "transport")},
	{"proxy/upstream/client", []string{"proxy/name", "proxy/oci", "proxy/upstream", "proxy/verify", "rechunk/image"},
		[]string{"github.com/distribution/distribution"}},
	{"proxy/upstream/auth", []string{"proxy/name", "proxy/upstream"}, upstreamRooms("client")},
	{"proxy/upstream/transport", []string{"proxy/tracing", "proxy/upstream"}, upstreamRooms("client", "auth")},
	{"proxy/upstream/header", nil, []string{"os", "io", "context"}},
	{"proxy/config", []string{"chunkstore/casync", "proxy/name", "proxy/schema", "rechunk/image", "rechunk/layer",
		"rechunk/legible"}, nil},
	{"proxy/manual", nil, append([]string{"os", "net/http"}, registries...)},
	{"proxy/schema", nil, append([]string{"os", "net/http"}, registries...)},
	{"proxy/livefile", nil, nil},
	{"proxy/limits", nil, nil},
	{"proxy/access", []string{"proxy/name", "proxy/config", "proxy/registry", "proxy/livefile", "proxy/limits",
		"rechunk/legible"}, nil},
	{"proxy/metrics", nil, nil},
	// What is noted depends on the context; only export knows where it goes.
	{"proxy/tracing", nil, append([]string{"os", "go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/exporters"},
		registries[2:]...)},
	{"proxy/tracing/export", []string{"proxy/tracing"}, append([]string{"os"}, registries[2:]...)},
	{"proxy/flight", []string{"proxy/tracing", "proxy/verify", "rechunk/rescue", "rechunk/workspace"}, nil},
	{"proxy/catalog", []string{"chunkstore", "rechunk"}, []string{"net/http"}},
	// What signatures say, and ours. Keys and formats know nothing of the proxy.
	{"proxy/trust", []string{
		"proxy/catalog", "proxy/name", "proxy/background", "proxy/config", "proxy/livefile", "proxy/oci", "proxy/registry",
		"proxy/upstream", "chunkstore", "rechunk",
	}, registries[2:]},
	{"proxy/trust/keys", []string{"rechunk/legible"}, append([]string{"net/http"}, registries[2:]...)},
	{"proxy/trust/strict", nil, append([]string{"os", "net/http"}, registries[2:]...)},
	{"proxy/trust/simplesigning", []string{"proxy/trust/strict", "rechunk/image"},
		append([]string{"os", "net/http"}, registries[2:]...)},
	{"proxy/trust/bundle", []string{"proxy/trust/keys", "proxy/trust/strict", "rechunk/image"},
		append([]string{"os", "net/http"}, registries[2:]...)},
	{"proxy/trust/keyless", []string{"proxy/trust/simplesigning", "proxy/trust/strict", "rechunk/rescue"},
		append([]string{"os", "net/http"}, registries[2:]...)},
	{"proxy/trust/keyless/keylesstest", []string{"proxy/trust/simplesigning"}, registries[2:]},
	{"proxy/trust/sign", []string{"proxy/trust/keys", "proxy/trust/simplesigning", "proxy/trust/bundle",
		"proxy/trust/strict", "proxy/name", "rechunk/image"},
		append([]string{"os", "net/http", "time"}, registries[2:]...)},
	{"proxy/trust/verify", []string{"proxy/trust/keys", "proxy/trust/simplesigning", "proxy/trust/bundle", "proxy/name",
		"proxy/upstream", "rechunk/image"}, append([]string{"os", "net/http"}, registries[2:]...)},
	{"proxy/trust/verify/verifytest", []string{"proxy/trust/verify", "proxy/name", "proxy/upstream",
		"rechunk/image"}, registries[2:]},
	{"proxy/upkeep", []string{"proxy/catalog", "proxy/lease", "proxy/metrics", "proxy/oci", "proxy/state", "chunkstore",
		"rechunk"}, []string{"net/http"}},
	{"proxy/workdir", []string{"proxy/edge/scratch", "proxy/flight", "proxy/upkeep", "chunkstore/claim",
		"rechunk/pkgdb/rpmdb", "rechunk/scan"},
		registries},
	{"proxy/background", []string{"rechunk/rescue"}, registries[2:]},
	{"proxy/history", []string{"proxy/catalog", "proxy/pulls", "rechunk"}, registries},
	// A pull goes down through these rooms, and nothing in them goes back up.
	{"proxy/pull", []string{
		"proxy/catalog", "proxy/name", "proxy/background", "proxy/config", "proxy/registry", "proxy/flight",
		"proxy/upstream", "chunkstore",
		"rechunk/image",
	}, registries[2:]},
	{"proxy/pull/tags", []string{
		"proxy/pull/jobs", "proxy/catalog", "proxy/name", "proxy/background", "proxy/config", "proxy/lease",
		"proxy/registry", "proxy/rollout",
		"proxy/tracing", "proxy/upstream", "chunkstore/keylock", "rechunk",
	}, registries[2:]},
	// Which version a host gets depends on the record and on who asks; the rule and the clock are told.
	{"proxy/rollout", []string{"proxy/catalog", "proxy/config", "rechunk/legible"}, append([]string{
		"os", "context", "net/http", "math/rand", "crypto/rand", "log", "log/slog"}, registries[2:]...)},
	// Who runs what is told from answers. Records and memory are all that it has.
	{"proxy/fleet", []string{"proxy/catalog", "proxy/config", "proxy/lease", "proxy/metrics", "proxy/name", "chunkstore"},
		append([]string{
			"os", "net/http", "math/rand"}, registries[2:]...)},
	// What was saved is worked out from what was counted.
	{"proxy/savings", []string{"proxy/catalog", "proxy/lease", "proxy/oci", "proxy/pulls", "chunkstore", "rechunk"},
		append([]string{
			"os", "net/http"}, registries[2:]...)},
	{"proxy/pull/jobs", []string{
		"proxy/catalog", "proxy/name", "proxy/background", "proxy/config", "proxy/flight", "proxy/lease", "proxy/metrics",
		"proxy/registry",
		"proxy/tracing", "proxy/upstream", "chunkstore", "rechunk",
	}, registries},
	{"proxy/pull/content", []string{
		"proxy/catalog", "proxy/name", "proxy/oci", "proxy/background", "proxy/flight", "proxy/lease", "proxy/registry",
		"proxy/state", "proxy/verify",
		"proxy/upstream", "chunkstore", "rechunk",
	}, registries[2:]},
	{"proxy/pull/proof", []string{"proxy/catalog", "proxy/name"}, registries[2:]},
	{"proxy/imagedelta", []string{"rechunk"}, registries},
	{"proxy/artifacts", []string{"proxy/history",
		"proxy/background", "proxy/catalog", "proxy/config", "proxy/imagedelta", "proxy/lease", "proxy/name", "proxy/oci",
		"proxy/operate", "proxy/registry", "chunkstore", "rechunk",
	}, registries[2:]},
	{"proxy/updates", []string{"proxy/catalog", "proxy/oci", "proxy/operate", "chunkstore", "rechunk"}, registries[2:]},
	{"proxy/operate", []string{
		"proxy/edge/central", "proxy/edge/pairs", "proxy/edge/via", "proxy/pull/jobs", "proxy/pull/tags", "proxy/catalog",
		"proxy/config", "proxy/history", "proxy/metrics",
		"proxy/name", "proxy/oci", "proxy/pulls", "proxy/registry", "proxy/rollout",
		"proxy/upkeep", "proxy/upstream", "chunkstore", "rechunk",
	}, registries},
	{"proxy/edge/seed", []string{"proxy/verify", "rechunk"}, append([]string{"net/http"}, registries[2:]...)},
	{"proxy/edge/via", []string{
		"proxy/background", "proxy/catalog", "proxy/edge/pairs", "proxy/edge/seed", "proxy/metrics", "proxy/name",
		"proxy/registry", "proxy/state", "proxy/tracing",
		"proxy/upstream", "proxy/verify", "chunkstore", "rechunk",
	}, registries[2:]},
	// What hosts need is text made of text; only disk reads and writes files.
	{"proxy/hosts", []string{"proxy/trust/keys", "rechunk/legible"}, append([]string{"os", "time"}, registries[:3]...)},
	{"proxy/hosts/policy", nil, append([]string{"os", "time"}, registries[:3]...)},
	{"proxy/hosts/registries", []string{"proxy/hosts/policy"}, append([]string{"os", "time"}, registries[:3]...)},
	// How archives are written is a question of bytes alone.
	{"proxy/ociarchive", []string{"rechunk/image"}, append([]string{"os", "context", "net/http"}, registries...)},
	{"proxy/casync/chunks", []string{"chunkstore", "proxy/background", "proxy/catalog", "proxy/lease", "proxy/name",
		"proxy/ociarchive", "proxy/registry", "rechunk"}, append([]string{"os"}, registries[2:]...)},
	{"proxy/casync/static", []string{"chunkstore/casync", "proxy/imageref", "proxy/ociarchive", "rechunk"},
		[]string{"net/http", "github.com/google/go-containerregistry", "github.com/distribution/distribution"}},
	{"proxy/airgap", []string{"proxy/catalog", "proxy/imagedelta", "proxy/imageref", "proxy/name", "proxy/oci",
		"proxy/ociarchive", "proxy/verify", "chunkstore", "rechunk/delta/ocidelta", "rechunk/image"},
		[]string{"net/http", "github.com/google/go-containerregistry"}},
	// What a file brings is held to the proxy's rules, by the rooms that a pull goes through.
	{"proxy/airgap/gate", []string{"proxy/airgap", "proxy/background", "proxy/catalog", "proxy/config", "proxy/lease",
		"proxy/name", "proxy/pull/jobs", "proxy/pull/tags", "proxy/registry", "proxy/trust", "proxy/upstream", "chunkstore",
		"rechunk"}, registries},
	{"proxy/doctor", []string{"proxy/hosts", "proxy/trust", "rechunk/image", "rechunk/legible"}, nil},
	{"proxy/hosts/inroot", nil, registries},
	{"proxy/hosts/disk", []string{"proxy/hosts"}, registries[:3]},
	{"proxy/admin", []string{"rechunk", "proxy/background", "proxy/catalog", "proxy/edge/via", "proxy/fleet", "proxy/hosts",
		"proxy/operate", "proxy/pull/jobs", "proxy/savings",
		"proxy/schema", "proxy/upkeep", "proxy/watch"},
		registries[2:]},
	// Pages are made of reports; who asks, and whether they may, is the listener's.
	{"proxy/admin/pages", []string{"rechunk", "proxy/admin/session", "proxy/catalog", "proxy/edge/pairs", "proxy/edge/via",
		"proxy/fleet", "proxy/hosts", "proxy/operate", "proxy/pull/jobs", "proxy/savings"},
		append([]string{"os"}, registries[2:]...)},
	{"proxy/admin/session", nil, append([]string{"os"}, registries[2:]...)},
	{"proxy/lease", nil, append([]string{"net/http"}, registries[2:]...)},
	{"proxy/replicas", []string{"proxy/lease", "proxy/background"}, registries[2:]},
	{"proxy/edge/scratch", []string{"rechunk"}, registries},
	{"proxy/edge/pairs", []string{"proxy/catalog"}, append([]string{"os"}, registries...)},
	{"proxy/edge/central", []string{
		"proxy/background", "proxy/catalog", "proxy/edge/pairs", "proxy/edge/scratch", "proxy/edge/seed", "proxy/flight",
		"proxy/history", "proxy/lease", "proxy/metrics", "proxy/name", "proxy/pulls", "proxy/registry", "proxy/state",
		"proxy/tracing", "chunkstore",
		"rechunk",
	}, append([]string{"net/http"}, registries[2:]...)},
	{"proxy/edge/encoder", []string{"rechunk/delta/wrap"}, registries},
	{"chunkstore", nil, []string{"github.com/google/go-containerregistry"}},
	{"rechunk", nil, registries},
	{"rechunk/tree", []string{"rechunk/legible"}, append([]string{"os", "time", "math/rand", "log"}, registries...)},
	{"rechunk/tree/treetest", []string{"rechunk/tree", "rechunk/scan"}, registries},
	// What people read depends on the text alone.
	{"rechunk/legible", nil, append([]string{"os", "context", "time", "log"}, registries...)},
	{"rechunk/rescue", nil, append([]string{"log", "sync"}, registries...)},
	{"rechunk/workspace", []string{"rechunk/tree"}, append([]string{"os", "time", "log"}, registries...)},
	{"rechunk/scan", []string{"rechunk/tree", "rechunk/rescue", "rechunk/workspace"},
		append([]string{"time", "math/rand", "log"}, registries...)},
	{"rechunk/ostree", []string{"rechunk/tree"}, append([]string{"os", "time", "math/rand", "log"}, registries...)},
	{"rechunk/pkgdb", []string{"rechunk/tree", "rechunk/legible"},
		append([]string{"modernc.org/sqlite", "database"}, registries...)},
	// What differs in noise only depends on the two contents alone.
	{"rechunk/noise", []string{"rechunk/tree", "rechunk/rescue", "rechunk/delta/wrap", "rechunk/pkgdb/rpmdb",
		"rechunk/pkgdb/installed"}, append([]string{"os", "time", "math/rand", "crypto/rand", "log", "syscall", "unsafe"},
		registries...)},
	{"rechunk/selinux", nil, append([]string{"os"}, registries...)},
	{"rechunk/image", nil, append([]string{"os"}, registries...)},
	{"rechunk/layer", []string{"rechunk/tree", "rechunk/rescue", "rechunk/scan"}, append([]string{"os"}, registries...)},
	{"rechunk/layer/toc", []string{"rechunk/tree"}, append([]string{"os", "log", "sync", "math/rand"}, registries...)},
	// What is wrapped in files, and how, depends on their bytes alone; programs and memory are behind interfaces.
	{"rechunk/delta", []string{"rechunk/tree", "rechunk/rescue"}, append([]string{
		"os", "time", "math/rand", "crypto/rand", "log", "syscall", "unsafe",
	}, registries...)},
	{"rechunk/delta/wrap/deflatetokens", nil, append([]string{
		"os", "context", "time", "math/rand", "crypto/rand", "log", "syscall", "unsafe"}, registries...)},
	{"rechunk/delta/wrap/zstdtokens", nil, append([]string{
		"os", "context", "time", "math/rand", "crypto/rand", "log", "syscall", "unsafe"}, registries...)},
	{"rechunk/delta/wrap", []string{"rechunk/tree", "rechunk/rescue"}, append([]string{
		"os", "time", "math/rand", "crypto/rand", "log", "syscall", "unsafe"}, registries...)},
	// tar-diff and its artifact are as pure as the deltas between Stratas.
	{"rechunk/delta/tardiff", []string{"rechunk/delta", "rechunk/tree"}, append([]string{
		"os", "time", "math/rand", "crypto/rand", "log", "syscall", "unsafe",
	}, registries...)},
	{"rechunk/delta/ocidelta", []string{"rechunk/delta", "rechunk/image"}, append([]string{
		"os", "time", "math/rand", "crypto/rand", "log", "syscall", "unsafe",
	}, registries...)},
	{"rechunk/compare", []string{"rechunk"}, append([]string{"os"}, registries...)},
	// The plan is pure: no I/O, no clock, no randomness, nothing that depends on who runs when.
	{"rechunk/plan", []string{"rechunk/tree", "rechunk/pkgdb", "rechunk/legible"}, append([]string{
		"os", "io", "bufio", "context", "time", "math/rand", "crypto/rand", "sync", "runtime", "log", "syscall", "unsafe",
		"maps", "database",
	}, registries...)},
}

// upstreamRooms are rooms of proxy/upstream that another of them must not import, and the registry's libraries.
func upstreamRooms(names ...string) []string {
	paths := []string{"github.com/distribution/distribution"}
	for _, n := range names {
		paths = append(paths, module+"proxy/upstream/"+n)
	}
	return paths
}

// registries are what the engine does not know.
var registries = []string{
	"net", "net/http", "github.com/google/go-containerregistry", "github.com/distribution/distribution",
	"github.com/distribution/reference",
}

// root is the checkout.
const root = "../.."

// below reports whether a slash-separated path is dir or lies below it. The packages net/url and net/netip, which read text,
// are not taken for networking.
func below(p, dir string) bool {
	if dir == "net" && (p == "net/url" || p == "net/netip") {
		return false
	}
	return p == dir || strings.HasPrefix(p, dir+"/")
}

// fixture reports whether a package is there for tests, by its name: treetest, storetest and their like.
func fixture(pkg string) bool {
	base := path.Base(pkg)
	return base == "testing" || below(pkg, "testing") || strings.HasPrefix(pkg, module) && strings.HasSuffix(base, "test")
}

func TestImportsGoOneWay(t *testing.T) {
	t.Parallel()
	files := 0
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || len(d.Name()) > 2 && d.Name()[0] == '.'):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		files++
		return checkImports(t, name, filepath.ToSlash(rel))
	})
	if err != nil || files < 50 {
		t.Errorf("%d files: %v", files, err)
	}
}

// checkImports holds one file, which lies at rel in the checkout, against the rule of its room.
func checkImports(t *testing.T, name, rel string) error {
	f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	dir := path.Dir(rel)
	forTests := strings.HasSuffix(rel, "_test.go") || fixture(module+dir)
	rule := slices.MaxFunc(rooms, func(a, b room) int { return cmp.Compare(fit(dir, a.dir), fit(dir, b.dir)) })
	if fit(dir, rule.dir) < 0 {
		return nil // TestTopLevel knows what may lie there
	}
	for _, spec := range f.Imports {
		pkg, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		own, inside := strings.CutPrefix(pkg, module)
		switch {
		case fixture(pkg):
			if !forTests && !below(dir, "cmd") && !below(dir, "bench") {
				t.Errorf("%s imports %s, which is for tests", rel, pkg)
			}
		case inside && !below(own, rule.dir) && !slices.ContainsFunc(rule.may, func(m string) bool { return below(own, m) }):
			t.Errorf("%s imports %s; %s may import %v", rel, own, rule.dir, rule.may)
		case !forTests && slices.ContainsFunc(rule.mustNot, func(m string) bool { return below(pkg, m) }):
			t.Errorf("%s imports %s, which %s must not", rel, pkg, rule.dir)
		}
	}
	return nil
}

// fit is the length of a room's directory if dir lies in it, else -1.
func fit(dir, room string) int {
	if below(dir, room) {
		return len(room)
	}
	return -1
}

// The top level holds what docs/design.md shows, and the settings of tools.
func TestTopLevel(t *testing.T) {
	t.Parallel()
	allowed := []string{
		"cmd", "proxy", "chunkstore", "rechunk", "bench", "docs", ".ci", ".github",
		"README.md", "CHANGELOG.md", "LICENSE", "Makefile", "Dockerfile", "docker-compose.yml", "config.example.yml",
		"go.mod", "go.sum",
		".gitignore", ".gitattributes", ".dockerignore", ".editorconfig", ".golangci.yml",
	}
	out, err := exec.CommandContext(t.Context(), "git", "-C", root, "ls-files", "-z").Output()
	if err != nil {
		t.Skipf("no git checkout: %v", err)
	}
	seen := map[string]bool{}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		top, _, _ := strings.Cut(name, "/")
		if !seen[top] && !slices.Contains(allowed, top) {
			t.Errorf("%s is at the top level", top)
		}
		seen[top] = true
	}
}
