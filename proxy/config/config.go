// Package config is what an operator may set: its types, defaults, file format, environment and checks.
//
// The file is YAML. A key that does not exist, a value of the wrong type and a setting that contradicts another are errors
// that name the file, line, column and key; all of them are reported together. Messages never repeat a secret.
//
// # Environment
//
// A variable STRATA_… overrides one key. Its name is the key's path in capitals, with an underscore for each dot:
//
//	listen                            STRATA_LISTEN
//	admin.listen                      STRATA_ADMIN_LISTEN
//	storage.filesystem.rootdirectory  STRATA_STORAGE_FILESYSTEM_ROOTDIRECTORY
//	upstreams.ghcr.io.username        STRATA_UPSTREAMS_GHCR_IO_USERNAME
//
// In the name of an upstream every character that is neither letter nor digit becomes an underscore. Such a variable counts
// for a host that the configuration already names: as a key of upstreams, as default_upstream or as the first element of a
// rule's match. When two of these hosts give the same name, using it is an error. Rules and seeds have no variables, being
// lists.
//
// A variable set to the empty string counts as not set. STRATA_CONFIG, which names the file, and STRATA_ADMIN_URL, which
// names a proxy to ask, are left to the commands, with STRATA_ADMIN_USERNAME and others by which they log in there, and so
// are the variables that Kubernetes sets for a Service called "strata". Any other STRATA_… variable is an error.
package config

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
)

// Config is a whole configuration. Load gives one that is complete and consistent. It is not changed after that, so it may
// be shared between goroutines.
type Config struct {
	// Listen is the address that clients pull from, "host:port".
	Listen string `yaml:"listen"`
	// TLS makes Listen speak HTTPS. Without it Listen speaks plain HTTP.
	TLS TLS `yaml:"tls"`
	// Admin is the listener for operators.
	Admin Admin `yaml:"admin"`
	// AnswerAs are registries, as written in repository names, whose clients this proxy is led to by DNS: a request that
	// arrives for one of these hosts means that registry.
	AnswerAs HostList `yaml:"answer_as"`
	// Access says who may pull what.
	Access Access `yaml:"access"`
	// Limits bound what clients can take.
	Limits Limits `yaml:"limits"`
	// ShutdownTimeout is how long running requests may take to end after a signal to stop; then they are cut off.
	ShutdownTimeout Duration `yaml:"shutdown_timeout"`
	// Log says what is logged and how.
	Log Log `yaml:"log"`
	// Tracing says which requests are traced, and where to.
	Tracing Tracing `yaml:"tracing"`

	// Storage is where images and records are kept.
	Storage Storage `yaml:"storage"`
	// WorkDir is the directory for temporary files; empty means the one that WorkDirectory chooses.
	WorkDir string `yaml:"work_dir"`
	// CacheBytes bounds the small blobs and manifests kept in memory, in bytes. 0 turns that cache off.
	CacheBytes ByteSize `yaml:"cache_bytes"`
	// Quota bounds the content in the store, in bytes. 0 means no bound.
	Quota ByteSize `yaml:"quota"`
	// MinFree is what is left free of a filesystem store's filesystem, in bytes, or a twentieth of a smaller one. 0 leaves
	// nothing.
	MinFree ByteSize `yaml:"min_free"`
	// WorkBytes bounds what downloads on their way and the contents of images that are worked on take of the disk together,
	// in bytes. 0 means no bound.
	WorkBytes ByteSize `yaml:"work_bytes"`
	// GC says when what is not needed is removed.
	GC GC `yaml:"gc"`
	// Scrub says how often and how fast what is stored is read again.
	Scrub Scrub `yaml:"scrub"`

	// Redirect answers pulls of stored blobs with a signed URL of the storage backend, where it has such.
	Redirect bool `yaml:"redirect"`
	// Redis is what several replicas on one store share.
	Redis Redis `yaml:"redis"`
	// Notifications are what registries tell of pushes.
	Notifications Notifications `yaml:"notifications"`
	// Fleet says how hosts are told apart that are counted.
	Fleet Fleet `yaml:"fleet"`
	// Jobs is how many images are rechunked at once, at least 1.
	Jobs int `yaml:"jobs"`

	// Signing says what served images are signed with.
	Signing Signing `yaml:"signing"`

	// DefaultUpstream is the host for repository names that start with no registry host; empty: such names are refused.
	// Where it is not set, Load leaves it empty when Upstreams lists hosts and nothing names the usual one.
	DefaultUpstream string `yaml:"default_upstream"`
	// Upstreams holds settings by registry host, as written in repository names ("ghcr.io", "localhost:5000"). Use Upstream
	// to look one up.
	Upstreams map[string]Upstream `yaml:"upstreams"`
	// Seeds are where files are that need not be fetched from another Strata.
	Seeds []Seed `yaml:"seeds"`
	// Deltas bound what is done for deltas from and to other Stratas.
	Deltas Deltas `yaml:"deltas"`
	// Casync says how images are served as chunks.
	Casync Casync `yaml:"casync"`
	// Repositories are the rules, first match wins. Use Rule to look one up.
	Repositories []Rule `yaml:"repositories"`
}

// Log says what is logged, to standard error.
type Log struct {
	// Level is the least severity that is logged: debug, info, warn or error.
	Level slog.Level `yaml:"level"`
	// Format is that of a line.
	Format LogFormat `yaml:"format"`
}

// LogFormat is the format of log lines.
type LogFormat string

// The log formats.
const (
	LogText LogFormat = "text" // key=value pairs
	LogJSON LogFormat = "json" // one object a line
)

// UnmarshalText accepts the name of a format.
func (f *LogFormat) UnmarshalText(text []byte) error { return oneOf(f, text, LogText, LogJSON) }

// WorkDirectory returns the directory for temporary files: work_dir, else "strata-work" beside a filesystem store, so that
// finished files move into the store without being copied, else "strata-work" in the system's temporary directory.
func (c *Config) WorkDirectory() string {
	if c.WorkDir != "" {
		return c.WorkDir
	}
	if root, ok := c.Storage.Parameters[rootDirectory].(string); ok && c.Storage.Driver == filesystemDriver {
		return filepath.Join(filepath.Dir(filepath.Clean(root)), "strata-work")
	}
	temp, err := filepath.Abs(os.TempDir())
	if err != nil {
		temp = os.TempDir() // there is no working directory that TMPDIR could be relative to
	}
	return filepath.Join(temp, "strata-work")
}

// AdminURL returns the base URL at which a process on the same machine reaches the admin listener.
func (c *Config) AdminURL() string {
	scheme := "http://"
	if c.Admin.TLS.Enabled() {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(c.Admin.Listen)
	if err != nil {
		return scheme + c.Admin.Listen // refused by Load
	}
	if wildcard(host) {
		host = "127.0.0.1"
	}
	return scheme + net.JoinHostPort(host, port)
}
