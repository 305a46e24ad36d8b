// Package metrics counts what the proxy does, for Prometheus.
//
//	metric                              type       labels           what
//	strata_build_info                   gauge      version          always 1
//	strata_requests_total               counter    route, method,   requests answered to clients
//	                                               code
//	strata_request_seconds              histogram  route            time from a request to the end of its answer
//	strata_response_bytes_total         counter    kind, origin     bytes of manifests and blobs sent to clients
//	strata_cache_hits_total             counter    kind             asked for and found in the store, or made here
//	strata_cache_misses_total           counter    kind             asked for and fetched from an upstream
//	strata_jobs_total                   counter    result           rechunking jobs that ended
//	strata_job_seconds                  histogram  result           how long they took
//	strata_jobs_running                 gauge                       rechunking jobs at work now
//	strata_jobs_waiting                 gauge                       rechunking jobs that wait for their turn
//	strata_repository_pulls_total       counter    repository       manifests of tags that clients got; of the first 1,000
//	                                                                repositories, the others count as one
//	strata_certificate_expiry_timestamp_seconds  gauge  listener    when the certificate of clients, operators expires
//	strata_update_bytes_total           counter                     bytes of new layers: what a client on the version
//	                                                                before has to fetch
//	strata_update_bytes_saved_total     counter                     what it would have fetched of the source
//	                                                                image, less that
//	strata_pulled_bytes_total           counter                     what pulls took of images that were made here
//	strata_pulled_source_bytes_total    counter                     what they would have taken of the sources
//	strata_upstream_requests_total      counter    host, code       answers from upstreams
//	strata_upstream_errors_total        counter    host, kind       requests to upstreams that got no usable answer
//	strata_upstream_bytes_total         counter    host             bytes received from upstreams
//	strata_upstream_answered_timestamp_seconds  gauge  host         when it last gave an answer that was no failure
//	strata_upstream_breaker_state       gauge      host             0: asked, 1: being tried again, 2: left alone
//	strata_upstream_paused              gauge      host             1 while it is left alone because it limited the rate
//	strata_upstream_requests_running    gauge      host             requests under way
//	strata_upstream_requests_held_total counter    host             requests that were not sent: breaker, limits, budget
//	strata_upstream_budget_limit        gauge      host             requests that the upstream grants, if it says so
//	strata_upstream_budget_remaining    gauge      host             what is left of them
//	strata_redis_up                     gauge                       1 while Redis answers, 0 while the replica is alone
//	strata_stored_bytes                 gauge      kind             size of the store
//	strata_connections_refused_total    counter    limit            connections closed as they came
//	strata_operator_logins_refused_total  counter  way              wrong logins of operators: token, password, page, …
//	strata_config_reload_success        gauge                       1 if the last reload of the configuration succeeded
//	strata_config_reload_timestamp_seconds  gauge                   when the configuration in use was taken over
//	strata_store_used_bytes             gauge                       bytes of content in the store
//	strata_store_quota_bytes            gauge                       its quota; 0 for none
//	strata_store_over_quota             gauge                       1 while the quota can't be met
//	strata_gc_runs_total                counter    result           garbage collections: done or failed
//	strata_gc_removed_bytes_total       counter                     what nobody needed
//	strata_evicted_bytes_total          counter    kind             removed for the quota: delta, source, …
//	strata_scrubbed_bytes_total         counter                     read and compared with its digest
//	strata_damaged_total                counter    outcome          found damaged: fetched, made, later, served, …
//	strata_edge_layers_total            counter    how, reason      layers from another Strata: delta, or whole and why
//	strata_edge_delta_bytes_total       counter                     bytes of deltas that layers were made of
//	strata_edge_saved_bytes_total       counter                     bytes of these layers, less that
//	strata_edge_wrapping_seconds_total  counter                     time in which files were compressed again
//	strata_artifacts_total              counter    result           delta artifacts that rules ask for: made or failed
//	strata_artifacts_waiting            gauge                       images that wait for them
//	strata_hosts                        gauge      repository, tag, lag  hosts by how far they are behind
//	strata_rollout_answers_total        counter    version          tags with a roll-out asked for: newest or earlier
//	strata_rollout_changes_total        counter    action           begin, step, hold, release, rollback
//	strata_verified_total               counter    result           images whose signatures were checked: passed,
//	                                                                refused, or rollback: a tag went back to it
//	strata_signed_total                 counter    result           served images that were signed: done or failed
//	strata_chunked_images_total         counter    result           images cut for casync: done or failed
//	strata_chunked_bytes_total          counter                     bytes of tar streams that were cut for it
//	strata_deltas_made_total            counter                     deltas for other Stratas that were stored
//	strata_deltas_made_bytes_total      counter                     their bytes
//	strata_deltas_layer_bytes_total     counter                     bytes of the layers that they make
//	strata_deltas_seconds               histogram                   how long making them took
//	strata_deltas_refused_total         counter    reason           questions for what is not to be had: gain, seed, …
//	strata_deltas_answers_total         counter    answer           stored, made, pending, refused, failed
//	strata_deltas_waiting               gauge                       deltas that wait for their turn
//	strata_deltas_running               gauge                       deltas that are being made
//	strata_deltas_stored_bytes          gauge                       deltas in the store
//	strata_panics_total                 counter    where            panics that cost one job, download, request, …
//
// Labels take few values, whatever clients send: a route, method, kind or result is one of the constants here, and a host is
// one of those that New was given; all else counts as "other". The collectors of the Go runtime (go_…) and of the process
// (process_…) are registered with them.
package metrics

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics counts events. It is safe for concurrent use. Every method of a nil *Metrics does nothing, so parts that may run
// without metrics need no check.
type Metrics struct {
	hosts atomic.Pointer[map[string]struct{}]

	buildInfo      *prometheus.GaugeVec
	requests       *prometheus.CounterVec
	requestSeconds *prometheus.HistogramVec
	responseBytes  *prometheus.CounterVec
	cacheHits      *prometheus.CounterVec
	cacheMisses    *prometheus.CounterVec

	refused    *prometheus.CounterVec
	logins     *prometheus.CounterVec
	reloaded   prometheus.Gauge
	reloadTime prometheus.Gauge

	jobs        *prometheus.CounterVec
	jobSeconds  *prometheus.HistogramVec
	jobsRunning prometheus.Gauge
	updateBytes prometheus.Counter
	savedBytes  prometheus.Counter
	pulled      pulled

	upstreamRequests *prometheus.CounterVec
	upstreamErrors   *prometheus.CounterVec
	upstreamBytes    *prometheus.CounterVec
	upstreamAnswered *prometheus.GaugeVec
	pulls            *prometheus.CounterVec
	repositories     repositories
	storedBytes      *prometheus.GaugeVec
	upkeep           upkeep
	edge             edge
	deltas           deltas
	chunks           chunks
	panics           *prometheus.CounterVec
	verified, signed *prometheus.CounterVec
	rollouts         rollouts
	fleet            *prometheus.GaugeVec
}

// New registers the metrics with reg. Hosts are the upstreams that get a label of their own. New panics when reg has
// Strata's metrics already: one registry belongs to one proxy.
func New(reg prometheus.Registerer, hosts ...string) *Metrics {
	registerRuntime(reg)
	f := promauto.With(reg)
	m := &Metrics{}
	m.SetHosts(hosts...)
	m.buildInfo = f.NewGaugeVec(gauge("build_info", "Always 1; the label is the program's version."), []string{"version"})
	m.requests = f.NewCounterVec(counter("requests_total", "Requests answered to clients."),
		[]string{"route", "method", "code"})
	m.requestSeconds = f.NewHistogramVec(seconds("request_seconds", "Time from a request to the end of its answer.",
		.001, .005, .025, .1, .25, .5, 1, 2.5, 10, 30, 60, 300, 900), []string{"route"})
	m.responseBytes = f.NewCounterVec(counter("response_bytes_total", "Bytes of manifests and blobs sent to clients."),
		[]string{"kind", "origin"})
	m.cacheHits = f.NewCounterVec(counter("cache_hits_total", "Manifests and blobs found in the store."), []string{"kind"})
	m.cacheMisses = f.NewCounterVec(counter("cache_misses_total", "Manifests and blobs fetched from an upstream."),
		[]string{"kind"})

	m.refused = f.NewCounterVec(counter("connections_refused_total", "Connections of clients closed as they came."),
		[]string{"limit"})
	m.logins = newLogins(f)
	m.reloaded = f.NewGauge(gauge("config_reload_success", "Whether the last reload of the configuration succeeded."))
	m.reloadTime = f.NewGauge(gauge("config_reload_timestamp_seconds", "When the configuration in use was taken over."))

	m.jobs = f.NewCounterVec(counter("jobs_total", "Rechunking jobs that ended."), []string{"result"})
	m.jobSeconds = f.NewHistogramVec(seconds("job_seconds", "How long rechunking jobs took.",
		.1, .5, 1, 5, 15, 30, 60, 120, 300, 600, 1200, 3600), []string{"result"})
	m.jobsRunning = f.NewGauge(gauge("jobs_running", "Rechunking jobs at work now."))
	m.updateBytes = f.NewCounter(counter("update_bytes_total", "Bytes of new layers in served images."))
	m.savedBytes = f.NewCounter(counter("update_bytes_saved_total",
		"Bytes that updates to the source images would have taken, less those of the served images."))
	m.pulled = newPulled(f)

	m.upstreamRequests = f.NewCounterVec(counter("upstream_requests_total", "Answers from upstreams."),
		[]string{"host", "code"})
	m.upstreamErrors = f.NewCounterVec(counter("upstream_errors_total", "Requests to upstreams that got no usable answer."),
		[]string{"host", "kind"})
	m.upstreamBytes = f.NewCounterVec(counter("upstream_bytes_total", "Bytes received from upstreams."), []string{"host"})
	m.upstreamAnswered = f.NewGaugeVec(gauge("upstream_answered_timestamp_seconds",
		"When the upstream last gave an answer that was no failure."), []string{"host"})
	m.pulls = f.NewCounterVec(counter("repository_pulls_total", "Manifests of tags that clients got."),
		[]string{"repository"})
	m.upkeep = newUpkeep(f)
	m.edge = newEdge(f)
	m.verified = f.NewCounterVec(counter("verified_total", "Images whose signatures were checked."), []string{"result"})
	for _, result := range []string{"passed", "refused", "rollback"} {
		m.verified.WithLabelValues(result) // so that the first one of a kind is an increase
	}
	m.signed = f.NewCounterVec(counter("signed_total", "Served images that were signed."), []string{"result"})
	m.rollouts = newRollouts(f)
	m.fleet = f.NewGaugeVec(gauge("hosts", "Hosts that got a version of a tag last, by how many versions came after it."),
		[]string{"repository", "tag", "lag"})
	m.deltas = newDeltas(f)
	m.chunks = newChunks(f)
	m.panics = f.NewCounterVec(counter("panics_total",
		"Panics that were caught: each cost the one thing that it happened in."), []string{"where"})
	m.storedBytes = f.NewGaugeVec(gauge("stored_bytes", "Size of the store."), []string{"kind"})
	return m
}

// SetHosts replaces the upstreams that get a label of their own.
func (m *Metrics) SetHosts(hosts ...string) {
	if m == nil {
		return
	}
	known := make(map[string]struct{}, len(hosts))
	for _, h := range hosts {
		known[h] = struct{}{}
	}
	m.hosts.Store(&known)
}

// registerRuntime adds the usual collectors, which the default registry has already.
func registerRuntime(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		var known prometheus.AlreadyRegisteredError
		if err := reg.Register(c); err != nil && !errors.As(err, &known) {
			panic(err) // a registry that refuses these is a mistake in the program, as for the metrics of New
		}
	}
}

const namespace = "strata"

func counter(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}
}

func gauge(name, help string) prometheus.GaugeOpts {
	return prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}
}

func seconds(name, help string, buckets ...float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}
}

// other is the label of what has none of its own.
const other = "other"

// known returns value if it is one of those allowed.
func known[T ~string](value T, allowed ...T) string {
	if slices.Contains(allowed, value) {
		return string(value)
	}
	return other
}

func (m *Metrics) host(host string) string {
	if _, ok := (*m.hosts.Load())[host]; ok {
		return host
	}
	return other
}

// code returns an HTTP status as a label.
func code(status int) string {
	if status < 100 || status > 599 {
		return other
	}
	return strconv.Itoa(status)
}

// add adds n to a counter, which only goes up.
func add[T int | int64](c prometheus.Counter, n T) {
	if n > 0 {
		c.Add(float64(n))
	}
}

// BuildInfo tells which version runs. Call it once.
func (m *Metrics) BuildInfo(version string) {
	if m != nil {
		m.buildInfo.WithLabelValues(strings.ToValidUTF8(version, "?")).Set(1)
	}
}

// StoredBytes tells the size of the store's content of one kind, in bytes.
func (m *Metrics) StoredBytes(kind StoreKind, bytes int64) {
	if m != nil {
		m.storedBytes.WithLabelValues(known(kind, StoreSource, StoreServed, StoreIndex, StoreRecord)).Set(float64(bytes))
	}
}

// JobStarted tells that a rechunking job begins. The function it returns tells how it ended; call it once.
func (m *Metrics) JobStarted() (ended func(JobResult)) {
	if m == nil {
		return func(JobResult) {}
	}
	start := time.Now()
	m.jobsRunning.Inc()
	return func(r JobResult) {
		result := known(r, JobDone, JobFailed, JobSkipped, JobCancelled)
		m.jobsRunning.Dec()
		m.jobs.WithLabelValues(result).Inc()
		m.jobSeconds.WithLabelValues(result).Observe(time.Since(start).Seconds())
	}
}

// Update tells what a new version of a served image costs a client on the version before: the bytes of its new layers, and
// the bytes that the source image's new layers would have cost. Nothing is counted as saved when that is less.
func (m *Metrics) Update(newBytes, sourceBytes int64) {
	if m != nil {
		add(m.updateBytes, newBytes)
		add(m.savedBytes, sourceBytes-newBytes)
	}
}
