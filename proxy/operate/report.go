package operate

import (
	"errors"
	"time"

	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/rechunk"
)

// ErrNotFound says that nothing of a name was pulled through this proxy.
var ErrNotFound = errors.New("not found")

// StatusReport is the answer to GET /api/v1/status: the totals.
type StatusReport struct {
	Version       string      `json:"version"`
	StartedAt     time.Time   `json:"started_at,omitzero"`
	UptimeSeconds float64     `json:"uptime_seconds"`
	Store         StoreReport `json:"store"`
	Repositories  int         `json:"repositories"`
	Versions      int         `json:"versions"` // served images
	Jobs          jobs.Counts `json:"jobs"`
	// UpdateBytes are those of the new layers of all versions that are remembered, but for the first of each lineage;
	// UpdateBytesSaved what updates to the source images would have taken beyond that.
	UpdateBytes      int64 `json:"update_bytes"`
	UpdateBytesSaved int64 `json:"update_bytes_saved"`
	// Pulled adds up what pulls took; absent while there were none of images that were made here.
	Pulled *PulledReport `json:"pulled,omitempty"`
	// Redis tells of the Redis that replicas share; absent where none is configured.
	Redis *RedisReport `json:"redis,omitempty"`
	// Edge tells of what comes from other Stratas; absent where nothing does.
	Edge *via.Report `json:"edge,omitempty"`
	// Deltas add up what is made for other Stratas; absent while none asked for any.
	Deltas *DeltaTotals `json:"deltas,omitempty"`
	// Upkeep tells how full the store is and when it was looked after; absent where nothing looks after it.
	Upkeep *upkeep.State `json:"upkeep,omitempty"`
	// Problems say what keeps the proxy from doing all it is for, and what helps; absent while all is well.
	Problems []string `json:"problems,omitempty"`
	// Upstreams tell how those fare that are configured or were asked lately.
	Upstreams []UpstreamReport `json:"upstreams,omitempty"`
}

// PulledReport tells what pulls took, and what they would have taken of the sources, over the days that are remembered.
type PulledReport struct {
	SentBytes   int64 `json:"sent_bytes"`
	SourceBytes int64 `json:"source_bytes"`
}

// RedisReport tells whether Redis answers.
type RedisReport struct {
	Address string `json:"address"`
	// Up is false while this replica goes on alone; Since is when that changed.
	Up    bool      `json:"up"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"`
}

// UpstreamReport tells how an upstream fares.
type UpstreamReport struct {
	Host string `json:"host"`
	// Breaker is closed while the upstream is asked, open while it is left alone after failures, half-open when one
	// request tries whether it is back.
	Breaker string `json:"breaker"`
	// Failing is how many requests in a row had no usable answer, while the breaker is closed.
	Failing int `json:"failing,omitempty"`
	// PausedUntil is when the upstream, after it limited the rate, may be asked again.
	PausedUntil time.Time `json:"paused_until,omitzero"`
	Running     int64     `json:"running"` // requests
	Held        int64     `json:"held"`    // requests that were not sent, for all of these reasons
	// BudgetLimit and BudgetRemaining are what the upstream says it grants and still grants, in requests, if it says so.
	BudgetLimit     int64 `json:"budget_limit,omitempty"`
	BudgetRemaining int64 `json:"budget_remaining,omitempty"`
	// BudgetLow says that tags are not refreshed, to keep what remains for content that is not stored.
	BudgetLow bool `json:"budget_low,omitempty"`
}

// StoreReport tells where images are kept and how much there is, in bytes.
type StoreReport struct {
	Driver      string `json:"driver"`
	Location    string `json:"location,omitempty"` // a directory or a bucket
	SourceBytes int64  `json:"source_bytes"`
	ServedBytes int64  `json:"served_bytes"`
	TotalBytes  int64  `json:"total_bytes"`
	// LargestBytes are those of the largest image that is the newest of its series: what an update may take.
	LargestBytes int64 `json:"largest_bytes,omitempty"`
}

// RepositoryReport tells about one repository.
type RepositoryReport struct {
	Name             string      `json:"name"` // host/path
	Tags             []TagReport `json:"tags"`
	Versions         int         `json:"versions"` // in the lineage
	UpdatedAt        time.Time   `json:"updated_at,omitzero"`
	UpdateBytes      int64       `json:"update_bytes"`
	UpdateBytesSaved int64       `json:"update_bytes_saved"`
	// Via says that it comes from another Strata, which makes its versions.
	Via bool `json:"via,omitempty"`
}

// Refused is how a tag is served of which nothing is shown.
const Refused = "refused"

// TagReport tells what a tag stands for.
type TagReport struct {
	Tag          string `json:"tag"`
	SourceDigest string `json:"source_digest"`
	Digest       string `json:"digest"` // empty where no version was ever good
	// Version is what the image calls itself, absent where it does not, and in lists of repositories.
	Version   string    `json:"version,omitempty"`
	Served    string    `json:"served"`              // rechunked, original, stale or refused
	CheckedAt time.Time `json:"checked_at,omitzero"` // when the upstream was asked last
	UpdatedAt time.Time `json:"updated_at,omitzero"` // when the tag moved last
	// StaleSince is when clients began to get what was last known, as nobody could check the tag; absent while they do not.
	StaleSince time.Time `json:"stale_since,omitzero"`
	// AsItIs says why an image is served as it is, by its nature or by its rule, and what to change where that helps.
	AsItIs string `json:"as_it_is,omitempty"`
	// Rollout tells which versions hosts get in place of Digest; absent where all get that.
	Rollout *RolloutReport `json:"rollout,omitempty"`
	// Refused says why what the upstream has is not shown: it is not signed as configured, or older than what was.
	Refused string `json:"refused,omitempty"`
	// Failure says why what the upstream has could not be rechunked, so that the version before or the original is shown; it
	// is kept across restarts.
	Failure *FailureReport `json:"failure,omitempty"`
}

// FailureReport tells of an image that could not be rechunked, or not for all of its platforms.
type FailureReport struct {
	SourceDigest string    `json:"source_digest"`
	Error        string    `json:"error"`
	Tries        int       `json:"tries"`
	RetryAt      time.Time `json:"retry_at,omitzero"`
}

// RepositoryDetail is the answer to GET /api/v1/repositories/NAME.
type RepositoryDetail struct {
	RepositoryReport
	// History holds the served images of the lineage, newest first.
	History []VersionReport `json:"history"`
	// LayersOf is the digest of the newest served image, and Layers are its layers, lowest first.
	LayersOf string        `json:"layers_of,omitempty"`
	Layers   []LayerReport `json:"layers"`
	// Notes say what was decided of that image and why, a line each; empty where the plan's record is lost.
	Notes []string `json:"notes,omitempty"`
	// NoiseKept are the files of that image that stayed as they were served before (noise: keep).
	NoiseKept []rechunk.KeptFile `json:"noise_kept,omitempty"`
}

// VersionReport tells about one served image.
type VersionReport struct {
	SourceDigest string `json:"source_digest"`
	Digest       string `json:"digest"`
	// Version is what the image calls itself; absent where it does not.
	Version     string    `json:"version,omitempty"`
	Platform    string    `json:"platform"`
	Created     time.Time `json:"created,omitzero"`
	LayersTotal int       `json:"layers_total"`
	LayersKept  int       `json:"layers_kept"`
	LayersNew   int       `json:"layers_new"`
	NewBytes    int64     `json:"new_bytes"`
	TotalBytes  int64     `json:"total_bytes"`
	StaleBytes  int64     `json:"stale_bytes"`
	NoiseKept   int       `json:"noise_kept,omitempty"` // files that stayed as they were served before
	// UnkeptBytes are of the layers of the version before that hosts download once more, since the format changed.
	UnkeptBytes int64     `json:"unkept_bytes,omitempty"`
	Seconds     float64   `json:"seconds"` // that making it took
	Sequence    int       `json:"sequence"`
	Reference   string    `json:"reference,omitempty"` // what it was made for first, host/path:tag
	LastPull    time.Time `json:"last_pull,omitzero"`  // when a client last asked for it, to the hour or so
	Pulls       PullCount `json:"pulls"`
}

// PullCount counts the clients that pulled an image, by how far behind they were: estimates, as no client is told from
// another.
type PullCount struct {
	// Fresh had none of its layers, or only such that are older than what is remembered.
	Fresh float64 `json:"fresh"`
	// Behind[0] counts those that had the version just before of the same series, Behind[1] the one before that, and so on.
	Behind []float64 `json:"behind"`
}

// LayerReport tells about one layer of a served image.
type LayerReport struct {
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
	Name   string `json:"name"` // what it holds, for people
	Age    int    `json:"age"`  // versions since it was made; 0 is new
	Kept   bool   `json:"kept"`
	// Since is the sequence of the version that brought the layer, and MadeAt when that was made, if it is still remembered.
	Since  int       `json:"since"`
	MadeAt time.Time `json:"made_at,omitzero"`
	// StaleBytes estimate what of the layer is hidden by higher ones, StaleShare is their part of it. Heat is the
	// expected share of its live bytes that the next version changes. All are 0 where the plan's record is lost.
	StaleBytes int64   `json:"stale_bytes"`
	StaleShare float64 `json:"stale_share"`
	Heat       float64 `json:"heat"`
	// Pulls is how often the layer was sent to clients that pulled this image.
	Pulls int64 `json:"pulls"`
	// Reason is why the layer was written, and MovedBytes estimate what of it clients had in other layers before.
	Reason     string `json:"reason,omitempty"`
	MovedBytes int64  `json:"moved_bytes,omitempty"`
}

// JobReport tells about one piece of work.
type JobReport struct {
	ID           string     `json:"id"`
	Kind         string     `json:"kind"` // KindRechunk, KindWarm or KindChunks
	Repository   string     `json:"repository,omitempty"`
	Reference    string     `json:"reference,omitempty"`
	Platform     string     `json:"platform,omitempty"`
	SourceDigest string     `json:"source_digest,omitempty"`
	State        jobs.State `json:"state"`
	Phase        string     `json:"phase,omitempty"` // what it does now, for people
	DoneBytes    int64      `json:"done_bytes"`
	TotalBytes   int64      `json:"total_bytes"` // 0 while it is not known
	// PhaseSeconds is how long it has been in its phase, of which the bytes tell.
	PhaseSeconds float64   `json:"phase_seconds,omitempty"`
	StartedAt    time.Time `json:"started_at,omitzero"`
	Seconds      float64   `json:"seconds"`
	Error        string    `json:"error,omitempty"`
}

// WarmEvent is a line of the answer to POST /api/v1/warm?wait=1. The last one of each reference has a state that is final.
type WarmEvent struct {
	Reference  string     `json:"reference"`
	Platform   string     `json:"platform,omitempty"`
	State      jobs.State `json:"state"`
	Phase      string     `json:"phase,omitempty"`
	DoneBytes  int64      `json:"done_bytes"`
	TotalBytes int64      `json:"total_bytes"`
	Error      string     `json:"error,omitempty"`
	// AsItIs says, in the last event of what is served as it is, why.
	AsItIs string `json:"as_it_is,omitempty"`
}

// Final reports whether nothing comes after this event for its reference.
func (e WarmEvent) Final() bool {
	return e.State == jobs.Done || e.State == jobs.Failed || e.State == jobs.Cancelled
}

// Kinds of jobs.
const (
	KindRechunk = "rechunk" // one image of one platform
	KindWarm    = "warm"    // one reference of a warm request, with all its images
	KindChunks  = "chunks"  // one image that is cut into chunks
)
