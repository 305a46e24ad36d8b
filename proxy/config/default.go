package config

import (
	"log/slog"
	"time"

	"github.com/strata-oci/strata/rechunk/layer"
)

const (
	filesystemDriver = "filesystem"
	rootDirectory    = "rootdirectory"
	defaultRoot      = "./strata-data"
)

// Default returns the configuration that holds when nothing is set.
func Default() *Config {
	return &Config{
		Listen:          "127.0.0.1:5000",
		TLS:             TLS{ClientAuth: ClientAuthNone},
		Admin:           Admin{Listen: "127.0.0.1:5001", TLS: TLS{ClientAuth: ClientAuthNone}},
		Access:          Access{Realm: "strata"},
		Limits:          defaultLimits(),
		ShutdownTimeout: Duration(30 * time.Second),
		Log:             Log{Level: slog.LevelInfo, Format: LogText},
		Tracing:         Tracing{Share: 1},
		Storage:         Storage{Driver: filesystemDriver, Parameters: map[string]any{rootDirectory: defaultRoot}},
		CacheBytes:      64 << 20,
		MinFree:         1 << 30,
		WorkBytes:       32 << 30,
		GC:              defaultGC(),
		Scrub:           defaultScrub(),

		Redis:           Redis{Prefix: "strata:"},
		Fleet:           Fleet{Retention: Duration(90 * 24 * time.Hour)},
		Jobs:            1,
		DefaultUpstream: "ghcr.io",
		Seeds:           []Seed{{Store: true}},
		Casync:          Casync{ChunkSizes: []string{"16:64:256"}, Keep: 20 << 30, Ahead: AheadAsked},
		Deltas: Deltas{
			Wait: Duration(20 * time.Second), CPU: 1, Memory: 512 << 20, Queue: 256, Keep: 5 << 30, Prefer: PreferTime,
		},
	}
}

func defaultLimits() Limits {
	return Limits{
		Connections:           16_384,
		ConnectionsPerAddress: 8192,
		Requests:              16_384,
		RequestsPerAddress:    8192,
		MissesPerAddress:      0.5, // 30/m
		HeaderBytes:           64 << 10,
		BodyBytes:             64 << 10,
		HeaderTimeout:         Duration(10 * time.Second),
		IdleTimeout:           Duration(2 * time.Minute),
		StallTimeout:          Duration(2 * time.Minute),
		RequestTimeout:        Duration(48 * time.Hour),
		HTTP2Streams:          128,
	}
}

// DefaultRule returns the settings of a repository that no rule matches; a rule that leaves a key out takes it from here.
func DefaultRule() Rule {
	return Rule{
		Rechunk:          RechunkAuto,
		Platforms:        []string{"linux/amd64", "linux/arm64"},
		MaxLayers:        64,
		MaxStale:         0.10,
		Format:           Format(layer.Zstd),
		FirstPull:        FirstPullWait,
		FirstPullTimeout: Duration(10 * time.Minute),
		Refresh:          Duration(60 * time.Second),
		MTime:            MTimeKeep,
		Hardlinks:        HardlinksShare,
		Noise:            NoiseServe,
		KeepVersions:     16,
		OCIDeltas:        OCIDeltas{Back: []int{}, Images: DeltaServed, Format: DeltaTarDiff1},
		Rollout:          Rollout{Steps: []Step{}, First: []string{}},
		Sign:             SignVerified,
	}
}

// DefaultUpstreamSettings returns the settings of an upstream that is not configured, but for its URL.
func DefaultUpstreamSettings() Upstream {
	return Upstream{MaxConnections: 64, MaxDownloads: 32, Timeout: Duration(30 * time.Second), Attempts: 4}
}

// defaulter is a type whose new values do not start at zero, as elements of lists and mappings.
type defaulter interface{ setDefaults() }

func (r *Rule) setDefaults()     { *r = DefaultRule() }
func (u *Upstream) setDefaults() { *u = DefaultUpstreamSettings() }
