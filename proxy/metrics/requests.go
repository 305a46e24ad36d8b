package metrics

import "time"

// Route is a kind of request.
type Route string

// The routes, with the names that proxy/registry gives them.
const (
	RouteUnknown   Route = "unknown"
	RouteBase      Route = "base"
	RouteManifest  Route = "manifest"
	RouteBlob      Route = "blob"
	RouteUpload    Route = "upload"
	RouteTags      Route = "tags"
	RouteReferrers Route = "referrers"
	RouteCatalog   Route = "catalog"
	RouteDelta     Route = "delta"

	RouteChunkIndex Route = "chunk-index"
	RouteChunk      Route = "chunk"
)

// Kind is a kind of content that clients pull.
type Kind string

// The kinds of content.
const (
	KindManifest Kind = "manifest"
	KindBlob     Kind = "blob"
)

// Origin is where content that was sent came from.
type Origin string

// The origins.
const (
	OriginHit       Origin = "hit"       // the upstream's, from the store
	OriginMiss      Origin = "miss"      // the upstream's, passed on while it was fetched
	OriginRechunked Origin = "rechunked" // made here
)

// Request tells that a client's request was answered: the route, the HTTP method and status, and how long it took.
func (m *Metrics) Request(route Route, method string, status int, took time.Duration) {
	if m == nil {
		return
	}
	label := known(route, RouteUnknown, RouteBase, RouteManifest, RouteBlob, RouteUpload, RouteTags, RouteReferrers,
		RouteCatalog, RouteDelta, RouteChunkIndex,
		RouteChunk)
	verb := known(method, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
	m.requests.WithLabelValues(label, verb, code(status)).Inc()
	m.requestSeconds.WithLabelValues(label).Observe(took.Seconds())
}

// Sent tells that bytes of content were sent to a client.
func (m *Metrics) Sent(kind Kind, origin Origin, bytes int64) {
	if m != nil {
		add(m.responseBytes.WithLabelValues(content(kind), known(origin, OriginHit, OriginMiss, OriginRechunked)), bytes)
	}
}

// Hit tells that content was asked for and found in the store.
func (m *Metrics) Hit(kind Kind) {
	if m != nil {
		m.cacheHits.WithLabelValues(content(kind)).Inc()
	}
}

// Miss tells that content was asked for and had to be fetched.
func (m *Metrics) Miss(kind Kind) {
	if m != nil {
		m.cacheMisses.WithLabelValues(content(kind)).Inc()
	}
}

func content(kind Kind) string { return known(kind, KindManifest, KindBlob) }

// JobResult is how a rechunking job ended.
type JobResult string

// The results.
const (
	JobDone      JobResult = "done"
	JobFailed    JobResult = "failed"
	JobSkipped   JobResult = "skipped" // another had made the image already, or the image is not to be rechunked
	JobCancelled JobResult = "cancelled"
)

// StoreKind is a kind of content in the store.
type StoreKind string

// The kinds of content in the store.
const (
	StoreSource StoreKind = "source" // blobs and manifests as upstream has them
	StoreServed StoreKind = "served" // layers and manifests made here
	StoreIndex  StoreKind = "index"  // layer indexes
	StoreRecord StoreKind = "record" // tags, plans and other records
)

// UpstreamError is why a request to an upstream got no usable answer.
type UpstreamError string

// The reasons, with the names that proxy/upstream gives them.
const (
	UpstreamNotFound      UpstreamError = "not_found"
	UpstreamUnauthorized  UpstreamError = "unauthorized"
	UpstreamDenied        UpstreamError = "denied"
	UpstreamRateLimited   UpstreamError = "rate_limited"
	UpstreamUnavailable   UpstreamError = "unavailable"
	UpstreamTimeout       UpstreamError = "timeout"
	UpstreamInvalid       UpstreamError = "invalid"
	UpstreamTooLarge      UpstreamError = "too_large"
	UpstreamNotConfigured UpstreamError = "not_configured"
	UpstreamProtocol      UpstreamError = "protocol"
)

// UpstreamAnswer tells that an upstream answered with an HTTP status. A status of 0, no answer, is left to UpstreamFailed.
func (m *Metrics) UpstreamAnswer(host string, status int) {
	if m != nil && status != 0 {
		m.upstreamRequests.WithLabelValues(m.host(host), code(status)).Inc()
		m.answered(host, status, time.Now())
	}
}

// UpstreamFailed tells that a request to an upstream got no usable answer.
func (m *Metrics) UpstreamFailed(host string, why UpstreamError) {
	if m == nil {
		return
	}
	kind := known(why, UpstreamNotFound, UpstreamUnauthorized, UpstreamDenied, UpstreamRateLimited, UpstreamUnavailable,
		UpstreamTimeout, UpstreamInvalid, UpstreamTooLarge, UpstreamNotConfigured, UpstreamProtocol)
	m.upstreamErrors.WithLabelValues(m.host(host), kind).Inc()
}

// UpstreamBytes tells that bytes were received from an upstream.
func (m *Metrics) UpstreamBytes(host string, bytes int64) {
	if m != nil {
		add(m.upstreamBytes.WithLabelValues(m.host(host)), bytes)
	}
}
