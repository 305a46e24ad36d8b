// Package wiring puts the rooms together in which pulls are answered.
package wiring

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/artifacts"
	"github.com/strata-oci/strata/proxy/background"
	"github.com/strata-oci/strata/proxy/casync/chunks"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/edge/central"
	"github.com/strata-oci/strata/proxy/edge/seed"
	"github.com/strata-oci/strata/proxy/edge/via"
	"github.com/strata-oci/strata/proxy/fleet"
	"github.com/strata-oci/strata/proxy/history"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/metrics"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/pull"
	"github.com/strata-oci/strata/proxy/pull/content"
	"github.com/strata-oci/strata/proxy/pull/jobs"
	"github.com/strata-oci/strata/proxy/pull/proof"
	"github.com/strata-oci/strata/proxy/pull/tags"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/proxy/rollout"
	"github.com/strata-oci/strata/proxy/savings"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/trust"
	"github.com/strata-oci/strata/proxy/updates"
	"github.com/strata-oci/strata/proxy/upstream/client"
	"github.com/strata-oci/strata/rechunk"
	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/workspace"
)

// Options are what the rooms are made of. Chunks, Upstream, Rule and WorkDir are needed.
type Options struct {
	Chunks   *chunkstore.Store
	Upstream *client.Client
	// Rule returns the settings of a repository, "host/path", complete with all defaults.
	Rule func(repository string) config.Rule
	// Signing returns what the configuration says of signing; nil: nothing is signed.
	Signing func() trust.SigningSettings
	// Ruled reports whether not everybody may pull everything; nil: everybody may.
	Ruled func() bool
	// Names reads the references that operators give.
	Names name.Parser
	// Counters keep what clients pulled; records in Chunks by default.
	Counters pulls.Counters
	// Leases let one of several replicas on the same store do a thing; nil says that there are no others.
	Leases *lease.Leases
	// Beside keeps other processes on this machine from a name until unlock; nil says that there are none.
	Beside func(ctx context.Context, name string) (unlock func(), err error)
	// Redis tells how the Redis fares that replicas share; nil says that there is none.
	Redis func() *operate.RedisReport
	// Store tells operators of the store.
	Store operate.Store
	// Metrics may be nil.
	Metrics *metrics.Metrics
	// RecordAge is how old a tag's record may be, as another process may have changed it, when a client is answered by it;
	// that of a manifest may be 60 times as old. 0 asks the store.
	RecordAge time.Duration
	// WorkDir holds temporary files, and WorkBytes bounds what they take together, in bytes; 0 means no bound.
	WorkDir   string
	WorkBytes int64
	// Jobs is the number of images that are rechunked at once.
	Jobs int
	// Deltas bound what is done for deltas, by the newest configuration. Nil: no deltas are made.
	Deltas func() config.Deltas
	// Casync says how images are served as chunks, by the newest configuration. Nil: they are not.
	Casync func() config.Casync
	// Encoders wrap files again; nil: none do.
	Encoders via.Encoders
	// Edge says how images come from other Stratas; nil: none do.
	Edge *Edge
	// Fleet says how hosts are told apart; nil: none are counted.
	Fleet func() config.Fleet
	// Version is that of the program.
	Version string
	Logger  *slog.Logger
	// Now is the clock; time.Now by default.
	Now func() time.Time
}

// manifestAges is by how much older than a tag's the record of a manifest may be: nothing but its removal changes it.
const manifestAges = 60

// leaseTTL is how long the others wait for a lineage when a replica dies.
const leaseTTL = 15 * time.Second

// Rooms are the parts that listeners and upkeep use.
type Rooms struct {
	Images   *pull.Images
	Lists    *pull.Lists
	Tags     *tags.Tags
	Jobs     *jobs.Queue
	Blobs    *content.Blobs
	Records  *catalog.Records
	Tally    *pulls.Tally
	Savings  *savings.Savings
	Fleet    *fleet.Fleet // nil: no hosts are counted
	Deltas   *central.Central
	Casync   *chunks.Chunks
	Engine   *rechunk.Engine
	View     *operate.View
	Warmer   *operate.Warmer
	Restorer *operate.Restorer
	Releaser *operate.Releaser
	Rollouts *operate.Rollouts
	// Artifacts are the delta artifacts that rules ask for.
	Artifacts *artifacts.Artifacts
	// Updates tell what updates cost and bring.
	Updates *updates.Updates
	Work    *background.Group

	// Edge fetches from other Stratas; nil: there are none.
	Edge *via.Source

	history  *history.History
	proofs   *proof.Proofs
	refusals *trust.Refusals
	seeds    *seed.Store // nil where layers are none
	labels   *labels
}

// New makes the rooms. Close ends their work.
func New(o Options) *Rooms {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Counters == nil {
		o.Counters = pulls.NewRecorded(catalog.New(o.Chunks, o.Logger).Pulls)
	}
	if o.Store.Used == nil {
		o.Store.Used = func() int64 { return 0 }
	}
	if o.Signing == nil {
		o.Signing = func() trust.SigningSettings { return trust.SigningSettings{} }
	}
	if o.Ruled == nil {
		o.Ruled = func() bool { return false }
	}
	// Downloads and images share what temporary files may take.
	space := workspace.New(o.WorkBytes)
	engineStore := state.New(o.Chunks, o.Logger, o.Metrics)
	records := catalog.New(o.Chunks, o.Logger)
	served := history.New(records.Lineages, nil)
	saved := savings.New(savings.Options{Records: records.Savings, Chains: served, Content: o.Chunks,
		Leases: o.Leases, Metrics: o.Metrics, Logger: o.Logger, Now: o.Now})
	r := &Rooms{
		Work:    background.New(background.Options{Logger: o.Logger, Panicked: o.Metrics.Panicked, Now: o.Now}),
		Records: records, Savings: saved, labels: newLabels(o.Chunks),
		Tally: pulls.New(pulls.Options{Counters: saved.Counting(o.Counters), Now: o.Now, Logger: o.Logger}),
		Engine: rechunk.New(rechunk.Config{
			Store: engineStore, Records: engineStore, Locker: locker(o), WorkDir: o.WorkDir, Space: space,
			Deadline: rechunk.DefaultDeadline(), Logger: o.Logger,
		}),
	}
	r.history = served.With(r.Tally)
	if o.Fleet != nil {
		r.Fleet = fleet.New(fleet.Options{Hosts: r.Records.Fleet, Tags: r.Records.FleetTags, Settings: o.Fleet,
			Label: r.labels.of, Leases: o.Leases, Metrics: o.Metrics, Logger: o.Logger, Now: o.Now})
	}
	manifests := r.pulling(o, engineStore, space)
	r.deltas(o, engineStore, space)
	r.casync(o, manifests, engineStore)
	r.operating(o, manifests)
	r.Work.Go("pull counts", r.Tally.Run)
	if r.Fleet != nil {
		r.Work.Go("fleet", r.Fleet.Run)
	}
	r.Work.Go("delta artifacts", r.Artifacts.Run)
	return r
}

// pulling makes the rooms that a pull goes through, the last one first.
func (r *Rooms) pulling(o Options, store *state.Store, space *workspace.Budget) *content.Manifests {
	losses := content.NewLosses(o.Now)
	proofs := proof.New(proof.Options{
		Ruled: o.Ruled, Images: r.Records.Proofs, Single: r.Records.BlobProofs, Blobs: imageBlobs(o.Chunks), Now: o.Now,
		Logger: o.Logger,
	})
	r.proofs = proofs
	r.Edge = r.edge(o, store, space)
	signed := trust.NewDocuments(trust.DocumentOptions{
		Enabled: func(repository string) bool { return o.Signing().Enabled() || o.Rule(repository).Verify.Enabled() },
		Chunks:  o.Chunks, Records: r.Records.Signatures, Evidence: r.Records.Evidence, Now: o.Now, Logger: o.Logger,
	})
	common := content.Common{
		Chunks: o.Chunks, Work: r.Work, Leases: o.Leases, Losses: losses, Proofs: proofs, State: store, Signed: signed,
		Logger: o.Logger,
	}
	manifests := content.NewManifests(content.ManifestOptions{
		Common: common, Records: r.Records.Manifests, Repositories: r.Records.Repositories, Upstream: r.source(o),
		RecordAge: manifestAges * o.RecordAge, Now: o.Now,
	})
	r.Blobs = content.NewBlobs(content.BlobOptions{
		Common: common, Upstream: r.source(o), WorkDir: o.WorkDir, Space: space, Transient: r.transient(),
	})
	known := trust.NewKnown(trust.KnownOptions{Records: r.Records.Evidence, Tags: r.Records.Tags, Manifests: manifests,
		Documents: signed, Logger: o.Logger, Now: o.Now})
	guard, signer := r.trusting(o, manifests, known)
	r.artifacts(o, manifests, store, space)
	r.Jobs = jobs.New(jobs.Options{
		Signer: signer,
		Engine: r.Engine, Manifests: manifests, Blobs: r.Blobs, Indexes: r.Records.Indexes, Attempts: r.Records.Attempts,
		Published: r.published,
		Demand:    r.history, Metrics: o.Metrics, Work: r.Work, Leases: o.Leases,
		AtOnce:   o.Jobs,
		Deadline: rechunk.DefaultDeadline(), WorkDir: o.WorkDir, Logger: o.Logger, Now: o.Now,
	})
	r.Tags = tags.New(tags.Options{
		Upstream: o.Upstream, Manifests: manifests, Maker: r.Jobs, Losses: losses, Records: r.Records.Tags,
		Rollouts: r.Records.Rollouts, Reached: r.Records.Reached, Returned: r.returned, Metrics: o.Metrics,
		Repositories: manifests, Guard: guard, Refusals: r.refusals, Rule: o.Rule, Behind: o.behind, Work: r.Work,
		Leases: o.Leases, Beside: o.Beside, RecordAge: o.RecordAge, Logger: o.Logger, Now: o.Now,
	})
	r.Images = pull.NewImages(pull.Options{Tags: r.Tags, Manifests: manifests, Blobs: r.Blobs, Tally: r.Tally,
		Guard: guard, Admitted: trust.NewAdmitted(trust.AdmittedOptions{
			Records: r.Records.Admitted, Guard: guard, Served: r.Records.Served, Documents: signed, Chunks: o.Chunks,
			Now: o.Now, Logger: o.Logger,
		}),
		Signatures: signer, About: known, Cache: o.Chunks})
	r.Lists = pull.NewLists(pull.ListOptions{
		Upstream: o.Upstream, Signed: signer, Pulled: r.Records.Tags, Known: r.Records.Repositories, Rule: o.Rule,
		Work: r.Work, About: known, Artifacts: r.Artifacts,
		Logger: o.Logger, Now: o.Now,
	})
	r.Restorer = &operate.Restorer{Records: r.Records.Manifests, Losses: losses}
	return manifests
}

// trusting makes what checks upstream's signatures and signs what is made here.
func (r *Rooms) trusting(o Options, manifests *content.Manifests, known *trust.Known) (*trust.Guard, *trust.Signer) {
	guard := trust.NewGuard(trust.GuardOptions{
		Rule: o.Rule, Upstream: &trust.Offline{Source: o.Upstream, Known: known, Proofs: r.proofs, Chunks: o.Chunks},
		Manifests: manifests, Verdicts: r.Records.Verdicts, Known: known,
		RecordAge: manifestAges * o.RecordAge, Metrics: o.Metrics, Work: r.Work, Logger: o.Logger, Now: o.Now,
	})
	signer := trust.NewSigner(trust.SignerOptions{
		Settings: o.Signing, Rule: o.Rule, Guard: guard, Manifests: manifests, Documents: known.Documents,
		Plans: r.Records.Plans, Metrics: o.Metrics, Work: r.Work, Logger: o.Logger, Now: o.Now,
	})
	r.refusals = &trust.Refusals{Records: r.Records.Refusals, Policy: guard.Policy, Logger: o.Logger, Now: o.Now}
	return guard, signer
}

// deltas makes the room for deltas, which asks those of the pull path.
func (r *Rooms) deltas(o Options, store *state.Store, space *workspace.Budget) {
	limits := o.deltaLimits()
	r.Deltas = central.New(central.Options{
		Chunks: o.Chunks, Content: store, Records: r.Records, Blobs: r.Images, Images: r.Images,
		Proofs: r.proofs,
		Family: func(repository string) string { return o.Rule(repository).Family },
		Lags:   r.history, Next: r.next(), Encoders: encoders(o), Work: r.Work,
		Leases:  o.Leases,
		Metrics: o.Metrics, WorkDir: o.WorkDir, Space: space, CPU: limits.CPU, Memory: int64(limits.Memory),
		Queue: limits.Queue, Keep: func() int64 {
			if o.Deltas == nil {
				return 0
			}
			return int64(o.Deltas().Keep)
		}, Logger: o.Logger, Now: o.Now,
	})
}

// operating makes what operators and upkeep use.
func (r *Rooms) operating(o Options, manifests *content.Manifests) {
	r.View = operate.NewView(operate.Options{
		Pulled: r.Records.Tags, Known: r.Records.Repositories, Plans: r.Records.Plans,
		Rolled: r.Records.Rollouts, Returned: r.returned, StaleSince: r.Tags.StaleSince, Label: r.labels.of,
		Refusals: r.refusals, History: r.history, Queue: r.Jobs, Manifests: manifests,
		Metrics: o.Metrics,
		Names:   o.Names, Rule: o.Rule, Behind: o.behind, Upstreams: o.Upstream.Status,
		Redis: o.Redis, Edge: r.edgeReport(), Store: o.Store,
		Deltas: r.Deltas, MoreJobs: r.chunkJobs(o.Now), Version: o.Version, Now: o.Now,
	})
	r.Warmer = &operate.Warmer{Tags: r.Tags, Manifests: manifests, Guard: r.Images.Guard, Blobs: r.Blobs, Queue: r.Jobs,
		Names: o.Names, Rule: o.Rule, Chunks: r.Casync, AsItIs: r.asItIs}
	r.Restorer.Warmer = r.Warmer
	r.Releaser = &operate.Releaser{Tags: r.Tags, Names: o.Names}
	r.Rollouts = &operate.Rollouts{Tags: r.Tags, Names: o.Names, Rule: o.Rule, Returned: r.returned, Now: o.Now}
}

// asItIs says why what a tag stands for is served as it is.
func (r *Rooms) asItIs(ctx context.Context, repo name.Repository, tag name.Reference) string {
	rec, err := r.Records.Tags.Get(ctx, catalog.TagKey{Repository: repo.String(), Tag: string(tag)})
	if err != nil || rec == nil {
		return "" // it is said, and not done
	}
	return rec.AsItIs
}

// returned tells which hosts that got a version of a tag were seen again.
func (r *Rooms) returned(tag catalog.TagKey, of []digest.Digest, since time.Time, within time.Duration) (rollout.Seen,
	bool) {
	seen, ok := r.Fleet.Returned(tag.String(), of, since, within)
	return rollout.Seen(seen), ok
}

// rememberEvery is how often what operators' pages show is written down, so that little is read again after a restart.
const rememberEvery = 10 * time.Minute

// Remember finds out what operators' pages show before they ask, and has the next process begin with it, until ctx ends. The
// logger hears what could not be written.
func (r *Rooms) Remember(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		for what, keep := range map[string]func(context.Context) error{
			"tags and roll-outs": r.View.Keep, "lineages": r.history.Keep, "savings": r.Savings.Keep,
		} {
			if err := keep(ctx); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "what pages show is not written down and will be read again", "what", what,
					"error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(rememberEvery):
		}
	}
}

// Close stops jobs and downloads, which leave nothing half, and waits for them until ctx ends. It may be called more than
// once.
func (r *Rooms) Close(ctx context.Context) error {
	r.Work.Stop()
	err := errors.Join(r.Blobs.Close(ctx), r.Deltas.Close(ctx), r.Work.Close(ctx))
	if r.seeds != nil {
		r.seeds.Close()
	}
	return err
}

// locker makes the engine wait for other replicas, or other processes, where there are any.
func locker(o Options) rechunk.Locker {
	switch {
	case o.Leases != nil:
		return state.NewLocker(o.Leases, leaseTTL)
	case o.Beside != nil:
		return state.Beside(o.Beside)
	}
	return nil
}

// imageBlobs lists the blobs of a stored image. What cannot be read has none.
func imageBlobs(chunks *chunkstore.Store) func(context.Context, digest.Digest) []digest.Digest {
	return func(ctx context.Context, d digest.Digest) []digest.Digest {
		b, err := chunks.Get(ctx, d, image.MaxDocument)
		if err != nil {
			return nil
		}
		return content.BlobsOf(b)
	}
}
