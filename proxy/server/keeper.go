package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/claim"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/proxy/replicas"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/proxy/workdir"
	"github.com/strata-oci/strata/rechunk"
)

// ErrInUse says that a store is being used by another process, so that nothing may be removed from it directly, and no proxy
// serve from it that does not agree with the other.
var ErrInUse = errors.New("another process uses the store")

// policy is what a configuration says of what stays.
func policy(cfg *config.Config) upkeep.Policy {
	return upkeep.Policy{Retention: retention(cfg), KeepPulled: time.Duration(cfg.GC.KeepPulled),
		Grace: time.Duration(cfg.GC.Grace)}
}

// retention finds the rule of a lineage, which has the name of a repository or of a family.
func retention(cfg *config.Config) func(string) upkeep.Retention {
	return func(lineage string) upkeep.Retention {
		rule := cfg.Rule(lineage)
		for _, r := range cfg.Repositories {
			if r.Family == lineage {
				rule = r
				break
			}
		}
		return upkeep.Retention{Versions: rule.KeepVersions, Age: time.Duration(rule.KeepDays) * 24 * time.Hour}
	}
}

// keeper makes the upkeep of a running proxy. It goes by the newest configuration.
func (s *Server) keeper(chunks *chunkstore.Store, held *claim.Claim) *upkeep.Keeper {
	o := upkeep.Options{Chunks: chunks, Logger: s.log, Policy: func() upkeep.Policy { return policy(s.live.Load()) }}
	o.Lineages, o.Activity, o.LastPull = s.rooms.Engine, s.rooms.Work.Activity, s.rooms.Tally.LastPull
	o.Usage, o.Metrics, o.Restorer, o.WorkDir = s.usage, s.metrics, s.rooms.Restorer, s.work
	o.Begin = func(ctx context.Context, work string) (context.Context, func(error)) {
		return s.traces.Begin(ctx, work)
	}
	if s.redis != nil {
		o.Leases = upkeepLeases(s.redis, s.cfg, s.log)
	}
	o.Alone = func() bool { return s.cfg.Storage.Driver == "inmemory" || held.Alone() }
	return upkeep.New(o)
}

// upkeepLeases are the leases under which one replica looks after the store. Two that did would share what they remember of
// it, so while Redis does not answer nobody does.
func upkeepLeases(redis *replicas.Conn, cfg *config.Config, log *slog.Logger) *lease.Leases {
	return lease.New(lease.NewRedis(redis.Client(), cfg.Redis.Prefix), log)
}

// schedule is what upkeep does by itself.
func schedule(cfg *config.Config) upkeep.Schedule {
	return upkeep.Schedule{
		GC: time.Duration(cfg.GC.Interval), Scrub: time.Duration(cfg.Scrub.Interval),
		ScrubOptions: upkeep.ScrubOptions{Rate: int64(cfg.Scrub.Rate), KeepDamaged: time.Duration(cfg.Scrub.KeepDamaged)},
	}
}

// schedule is what upkeep does by itself by the newest configuration.
func (s *Server) schedule() upkeep.Schedule { return schedule(s.live.Load()) }

// Maintain opens the store of a configuration without a proxy and lets work look after it. A directory is had by this
// process alone meanwhile: ErrInUse says that another one uses it. Of other storage nobody can know, so there grace holds.
func Maintain(ctx context.Context, cfg *config.Config, log *slog.Logger,
	work func(context.Context, *upkeep.Keeper) error) error {
	driver, err := chunkstore.OpenDriver(ctx, cfg.Storage.Driver, cfg.Storage.Parameters)
	if err != nil {
		return storageError(cfg, err)
	}
	var done bool
	var worked error
	run := func(exclusive bool) error {
		chunks, err := chunkstore.NewContext(ctx, driver, chunkstore.Options{Logger: log})
		if err != nil {
			done, worked = true, storageError(cfg, err)
			return worked
		}
		st := state.New(chunks, log, nil)
		o := upkeep.Options{Chunks: chunks, Logger: log, Policy: func() upkeep.Policy { return policy(cfg) }}
		o.LastPull = pulls.New(pulls.Options{Counters: pulls.NewRecorded(catalog.New(chunks, log).Pulls)}).LastPull
		o.Lineages, o.Exclusive = rechunk.New(rechunk.Config{Store: st, Records: st, Logger: log}), exclusive
		if conn, _, err := openRedis(ctx, cfg, log); err != nil {
			return err
		} else if conn != nil {
			defer conn.Close()
			o.Leases = upkeepLeases(conn, cfg, log)
		}
		done, worked = true, work(ctx, upkeep.New(o))
		return worked
	}
	root, ok := cfg.Storage.Parameters["rootdirectory"].(string)
	if !ok || cfg.Storage.Driver != "filesystem" {
		return run(false)
	}
	held, err := workdir.Claim(root, func() error { return run(true) })
	switch {
	case errors.Is(err, claim.ErrUnsupported):
		return run(false)
	case done:
		return errors.Join(worked, held.Release())
	case err != nil:
		return storageError(cfg, err)
	}
	return errors.Join(fmt.Errorf("%w at %s", ErrInUse, root), held.Release())
}
