package complaints

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	"github.com/distribution/distribution/v3/registry/storage/driver/factory"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // what the upstream keeps its blobs in
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // distribution's registry logs through it
	factory.Register(remoteDriver, given{})
	goleak.VerifyTestMain(m,
		// Distribution's application never ends these.
		goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run"),
		goleak.IgnoreTopFunction("github.com/distribution/distribution/v3/registry/handlers.startUploadPurger.func1"))
}

// upstreamHost is the name that images of the upstream have.
const upstreamHost = "registry.test"

// fault may answer a request in the registry's place; it returns false to leave it to the registry.
type fault func(w http.ResponseWriter, r *http.Request, registry http.Handler) bool

// upstream is distribution's registry, which a fault stands before and which remembers what it was asked.
type upstream struct {
	t        *testing.T
	server   *httptest.Server
	registry http.Handler

	mu    sync.Mutex
	large map[string][]byte // blobs, by path, that distribution's memory would take long to keep
	asked []string          // "GET /v2/…", and "GET+range /v2/…" for ranged requests
	fault fault
}

// newUpstream starts a registry that ends with the test. serve starts the server, httptest.NewServer unless the test says
// otherwise.
func newUpstream(t *testing.T, serve ...func(http.Handler) *httptest.Server) *upstream {
	t.Helper()
	config := &configuration.Configuration{Storage: configuration.Storage{
		"inmemory":    configuration.Parameters{},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
		"delete":      configuration.Parameters{"enabled": true},
	}}
	config.HTTP.Secret = "complaints"
	config.Log.AccessLog.Disabled = true
	u := &upstream{t: t, registry: handlers.NewApp(t.Context(), config)}
	serve = append(serve, httptest.NewServer)
	u.server = serve[0](u)
	t.Cleanup(u.stop)
	return u
}

// ServeHTTP implements http.Handler.
func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method := r.Method
	if r.Header.Get("Range") != "" {
		method += "+range"
	}
	u.mu.Lock()
	u.asked = append(u.asked, method+" "+r.URL.Path)
	f, large := u.fault, u.large[r.URL.Path]
	u.mu.Unlock()
	switch {
	case f != nil && f(w, r, u.registry):
	case large != nil:
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(large))
	default:
		u.registry.ServeHTTP(w, r)
	}
}

// stop makes the upstream unreachable.
func (u *upstream) stop() {
	u.server.CloseClientConnections()
	u.server.Close()
}

// breaks sets what goes wrong from now on; nil for nothing.
func (u *upstream) breaks(f fault) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault = f
}

// blobsBreak is breaks for requests that get blobs.
func (u *upstream) blobsBreak(f fault) {
	u.breaks(func(w http.ResponseWriter, r *http.Request, registry http.Handler) bool {
		return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && f(w, r, registry)
	})
}

// count returns how many requests began with method and had part in their path.
func (u *upstream) count(method, part string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	n := 0
	for _, a := range u.asked {
		if strings.HasPrefix(a, method+" ") && strings.Contains(a, part) {
			n++
		}
	}
	return n
}

// forget empties the memory of requests.
func (u *upstream) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked = nil
}

// repeated returns the requests that came more than once.
func (u *upstream) repeated(method, part string) []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	times := map[string]int{}
	var out []string
	for _, a := range u.asked {
		if times[a]++; times[a] == 2 && strings.HasPrefix(a, method+" ") && strings.Contains(a, part) {
			out = append(out, a)
		}
	}
	slices.Sort(out)
	return out
}

// status answers with a status and, where a code is given, an error document.
func status(code int, document string, header ...string) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		if document != "" {
			fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"told to"}]}`, document)
		}
		return true
	}
}

// aborts closes the connection without an answer.
func aborts(http.ResponseWriter, *http.Request, http.Handler) bool { panic(http.ErrAbortHandler) }

// hangs does not answer until the other side leaves.
func hangs(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
	<-r.Context().Done()
	return true
}

// half sends the first half of the registry's answer, then does what after says.
func half(after func(w http.ResponseWriter, r *http.Request)) fault {
	return func(w http.ResponseWriter, r *http.Request, registry http.Handler) bool {
		rec := httptest.NewRecorder()
		registry.ServeHTTP(rec, r)
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		b := rec.Body.Bytes()
		_, _ = w.Write(b[:len(b)/2])
		_ = http.NewResponseController(w).Flush()
		after(w, r)
		return true
	}
}

// once is a fault that happens the first time only.
func once(f fault) fault {
	var mu sync.Mutex
	done := false
	return func(w http.ResponseWriter, r *http.Request, registry http.Handler) bool {
		mu.Lock()
		first := !done
		done = true
		mu.Unlock()
		return first && f(w, r, registry)
	}
}
