package registry

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/tracing"
)

// statusClientLeft is what logs call a request whose client left before it was answered; nobody receives it.
const statusClientLeft = 499

// Bounds on what one request can put into the log.
const (
	maxLoggedPath  = 512
	maxLoggedAgent = 256
	maxLoggedUser  = 256
)

// Request is what is known about a request after it was answered, for logs and metrics.
type Request struct {
	Method string
	Path   string // without the query, cut to 512 bytes
	Status int    // of the answer; when there was none, 499 if the client left and 500 if not
	Bytes  int64  // of the body that were sent
	// Duration is the time from the request's headers to the end of the answer.
	Duration time.Duration
	Remote   string // address and port of whoever connected
	User     string // the name that the client logged in with, cut to 256 bytes
	// Certificate is the common name of the client's certificate that was verified, cut to 256 bytes.
	Certificate string
	Agent       string // the User-Agent header, cut to 256 bytes
	Route       Route  // empty for requests that another handler answered
	// Repository is the zero value when the path has none or it could not be parsed.
	Repository name.Repository
	Reference  ReferenceKind
	Tag        string // of a request by tag
	Served     Served // for manifests
	Earlier    bool   // of a tag's manifest: other hosts get a newer version
	// Digest is that of the manifest or blob that was asked for; empty when it is not known.
	Digest digest.Digest
	// ToEnd says that a blob's last byte was sent. However a client resumes or splits a download, that happens once in it.
	ToEnd bool
	// Origin is that of a manifest, or of a blob that was opened; empty when there was no content to send.
	Origin Origin
	// Aborted says that the connection was closed before the end of the answer.
	Aborted bool
}

// ReferenceKind tells requests by tag from those by digest. It is empty for requests that have neither.
type ReferenceKind string

// The kinds of references.
const (
	ByTag    ReferenceKind = "tag"
	ByDigest ReferenceKind = "digest"
)

func (q *Request) setReference(ref name.Reference) {
	q.Reference = ByTag
	if ref.IsDigest() {
		q.Reference = ByDigest
		return
	}
	q.Tag = string(ref)
}

type requestKey struct{}

// requestInfo returns where the handler notes what it learns about r. Without AccessLog in front nobody reads it.
func requestInfo(r *http.Request) *Request {
	if q, ok := r.Context().Value(requestKey{}).(*Request); ok {
		return q
	}
	return &Request{}
}

// AccessLog returns a handler that calls next and then logs one line about the request and tells observe, each of which may
// be nil. It keeps io.ReaderFrom, so files still go out by sendfile. Next must answer in the goroutine it is called in.
func AccessLog(next http.Handler, logger *slog.Logger, observe func(Request)) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w := &response{ResponseWriter: rw}
		q := &Request{
			Method: r.Method,
			Path:   clip(r.URL.Path, maxLoggedPath),
			Remote: r.RemoteAddr,
			Agent:  clip(r.UserAgent(), maxLoggedAgent),
		}
		if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			q.Certificate = clip(r.TLS.PeerCertificates[0].Subject.CommonName, maxLoggedAgent)
		}
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, q))
		q.Aborted = true
		defer func() { // also when next panics, which goes on to net/http
			q.Duration, q.Bytes, q.Status = time.Since(start), w.bytes, w.status
			if q.Status == 0 {
				q.Status = statusOfNothing(r, q.Aborted)
			}
			q.trace(r.Context())
			if observe != nil {
				observe(*q)
			}
			if logger != nil {
				logger.LogAttrs(r.Context(), slog.LevelInfo, "request", q.attrs()...)
			}
		}()
		next.ServeHTTP(w, r)
		q.Aborted = false
	})
}

// trace notes in the trace that a request belongs to what became of it.
func (q *Request) trace(ctx context.Context) {
	tracing.Name(ctx, strings.TrimSpace(q.Method+" "+string(q.Route)))
	tracing.Note(ctx, "http.request.method", q.Method, "http.response.status_code", q.Status, "http.response.body.size",
		q.Bytes, "url.path", q.Path, "client.address", q.Remote, "user_agent.original", q.Agent, "route", string(q.Route),
		"reference", string(q.Reference), "tag", q.Tag, "digest", q.Digest, "served", string(q.Served),
		"origin", string(q.Origin), "aborted", q.Aborted)
	if q.Repository != (name.Repository{}) {
		tracing.Note(ctx, "repository", q.Repository)
	}
	if q.Status >= http.StatusInternalServerError {
		tracing.Fail(ctx, http.StatusText(q.Status))
	}
}

// statusOfNothing is the status of a request that no header was sent to.
func statusOfNothing(r *http.Request, aborted bool) int {
	switch {
	case !aborted:
		return http.StatusOK // net/http sends it then
	case r.Context().Err() != nil:
		return statusClientLeft
	}
	return http.StatusInternalServerError
}

func (q *Request) attrs() []slog.Attr {
	attrs := []slog.Attr{
		slog.String("method", q.Method),
		slog.String("path", q.Path),
		slog.Int("status", q.Status),
		slog.Int64("bytes", q.Bytes),
		slog.Float64("seconds", q.Duration.Seconds()),
		slog.String("remote", q.Remote),
		slog.String("agent", q.Agent),
	}
	optional := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	optional("user", clip(q.User, maxLoggedUser))
	optional("route", string(q.Route))
	if q.Repository != (name.Repository{}) {
		optional("repository", q.Repository.String())
	}
	optional("reference", string(q.Reference))
	optional("served", string(q.Served))
	optional("origin", string(q.Origin))
	if q.Aborted {
		attrs = append(attrs, slog.Bool("aborted", true))
	}
	return attrs
}

// clip returns at most limit bytes of s, as valid UTF-8.
func clip(s string, limit int) string {
	return strings.ToValidUTF8(s[:min(len(s), limit)], "\uFFFD")
}
