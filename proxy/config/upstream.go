package config

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/strata-oci/strata/proxy/name"
)

// Upstream holds how a registry is reached. User name and password come from one source at most: the keys here or a file.
type Upstream struct {
	// URL is the registry's base, scheme and host; the default is https:// and the host, or http:// with Insecure.
	URL string `yaml:"url"`
	// Via is the base of another Strata, scheme and host, which has the registry's images: all other keys here hold for it.
	// Images are served as they are there.
	Via string `yaml:"via"`

	// Username and Password log in. Without them the upstream is used without an account.
	Username string `yaml:"username"`
	Password Secret `yaml:"password"`
	// PasswordFile is a file that holds the password; a line break at its end does not count.
	PasswordFile string `yaml:"password_file"`
	// AuthFile is a file in the format of containers-auth.json(5) or docker's config.json.
	AuthFile string `yaml:"auth_file"`

	// CAFile is a PEM file of certificate authorities to trust beside the system's.
	CAFile string `yaml:"ca_file"`
	// ClientCertFile and ClientKeyFile are PEM files that identify the proxy to the upstream.
	ClientCertFile string `yaml:"client_cert_file"`
	ClientKeyFile  string `yaml:"client_key_file"`
	// Insecure allows plain HTTP.
	Insecure bool `yaml:"insecure"`
	// SkipVerify accepts any certificate.
	SkipVerify bool `yaml:"skip_verify"`

	// Proxy is the URL of the HTTP proxy by which the upstream is reached, and where it leads, with a user name and a
	// password where it asks for them; or "none". Empty: what HTTPS_PROXY, HTTP_PROXY and NO_PROXY of the environment say.
	Proxy Secret `yaml:"proxy"`

	// RedirectHosts are the only hosts that the upstream may lead to, wherever they are: "cdn.example.com", "*.example.com".
	// Empty means any public host, and hosts at addresses of the kind that the upstream itself has.
	RedirectHosts HostList `yaml:"redirect_hosts"`
	// MaxConnections is how many requests run at once, MaxDownloads how many of them fetch blobs; both at least 1.
	MaxConnections int `yaml:"max_connections"`
	MaxDownloads   int `yaml:"max_downloads"`
	// Rate bounds requests, Bandwidth bytes; 0 is no bound.
	Rate      Rate      `yaml:"rate"`
	Bandwidth Bandwidth `yaml:"bandwidth"`

	// Timeout is how long an upstream may be silent: before it answers, and between the parts of an answer.
	Timeout Duration `yaml:"timeout"`
	// Attempts is how often a request is tried before it fails, at least 1.
	Attempts int `yaml:"attempts"`
}

// NoProxy is the proxy of an upstream that is reached without one, whatever the environment says.
const NoProxy = "none"

// dockerHub is known by a name where no registry answers.
const (
	dockerHub    = "docker.io"
	dockerHubURL = "https://registry-1.docker.io"
)

// Upstream returns the settings for a registry host, with the URL filled in. Hosts that are not configured get the defaults.
func (c *Config) Upstream(host string) Upstream {
	up, ok := c.Upstreams[host]
	if !ok {
		up = DefaultUpstreamSettings()
	}
	switch {
	case up.Via != "":
		up.URL = strings.TrimSuffix(up.Via, "/")
	case up.URL != "":
		up.URL = strings.TrimSuffix(up.URL, "/")
	case up.Insecure:
		up.URL = "http://" + host
	case host == dockerHub:
		up.URL = dockerHubURL
	default:
		up.URL = "https://" + host
	}
	return up
}

// AnyUpstream reports whether registries that the configuration does not name may be pulled from, by HTTPS and without an
// account. It is so until upstreams lists some: whoever lists them wants these and no others.
func (c *Config) AnyUpstream() bool { return len(c.Upstreams) == 0 }

// maxPasswordFile bounds a password file in bytes. Registry tokens are some kilobytes at most.
const maxPasswordFile = 64 << 10

// Credentials returns the user name and the password, which it reads from PasswordFile when that is set. Both are empty for
// an upstream without an account. It reads the file anew on each call, so a rotated password is found.
func (u Upstream) Credentials() (username string, password Secret, err error) {
	if u.PasswordFile == "" {
		return u.Username, u.Password, nil
	}
	f, err := os.Open(u.PasswordFile)
	if err != nil {
		return "", Secret{}, fmt.Errorf("password file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPasswordFile+1))
	switch {
	case err != nil:
		return "", Secret{}, fmt.Errorf("password file: %w", err)
	case len(text) > maxPasswordFile:
		return "", Secret{}, fmt.Errorf("password file %s is longer than the limit of %d bytes", u.PasswordFile,
			maxPasswordFile)
	}
	return u.Username, NewSecret(strings.TrimRight(string(text), "\r\n")), nil
}

// isHost reports whether s is a registry host as it stands in repository names, in its canonical form.
func isHost(s string) bool {
	canonical, err := name.ParseHost(s)
	return err == nil && canonical == s
}
