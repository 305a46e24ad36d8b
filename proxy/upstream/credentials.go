package upstream

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/types"
	"github.com/google/go-containerregistry/pkg/authn"

	"github.com/strata-oci/strata/proxy/name"
)

const (
	maxPasswordFile = 64 << 10
	maxAuthFile     = 1 << 20
)

// credentials finds out who we are to an upstream. The zero AuthConfig means anonymous. It is safe for concurrent use.
type credentials interface {
	resolve(ctx context.Context, repo name.Repository) (authn.AuthConfig, error)
}

// credentialsFor picks the source that a configuration names.
func credentialsFor(c Config, keychain authn.Keychain, log *slog.Logger) credentials {
	switch {
	case c.Username != "" && c.PasswordFile != "":
		return &passwordFile{username: c.Username, path: c.PasswordFile}
	case c.Username != "":
		return static{Username: c.Username, Password: c.Password}
	case c.AuthFile != "":
		return authFile(c.AuthFile)
	default:
		return login{keychain: keychain, log: log}
	}
}

type static authn.AuthConfig

func (s static) resolve(context.Context, name.Repository) (authn.AuthConfig, error) {
	return authn.AuthConfig(s), nil
}

// passwordFile is a user whose password is in a file of its own, as secret stores mount it.
type passwordFile struct {
	username, path string

	mu       sync.Mutex
	modified time.Time
	size     int64
	password string
}

func (p *passwordFile) resolve(context.Context, name.Repository) (authn.AuthConfig, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	info, err := os.Stat(p.path)
	if err != nil {
		return authn.AuthConfig{}, fmt.Errorf("password file: %w", err)
	}
	if p.password == "" || !info.ModTime().Equal(p.modified) || info.Size() != p.size {
		text, err := readBounded(p.path, maxPasswordFile)
		if err != nil {
			return authn.AuthConfig{}, fmt.Errorf("password file: %w", err)
		}
		p.password = strings.TrimRight(string(text), "\r\n")
		p.modified, p.size = info.ModTime(), info.Size()
	}
	return authn.AuthConfig{Username: p.username, Password: p.password}, nil
}

// authFile is a docker config.json or podman auth.json, read for each use: logins come and go.
type authFile string

func (a authFile) resolve(_ context.Context, repo name.Repository) (authn.AuthConfig, error) {
	data, err := readBounded(string(a), maxAuthFile)
	if err != nil {
		return authn.AuthConfig{}, fmt.Errorf("auth file: %w", err)
	}
	file, err := config.LoadFromReader(bytes.NewReader(data))
	if err != nil {
		return authn.AuthConfig{}, fmt.Errorf("auth file %s cannot be parsed", string(a)) // the cause may quote a secret
	}
	for _, key := range authKeys(repo) {
		found, err := file.GetAuthConfig(key)
		if err != nil {
			return authn.AuthConfig{}, fmt.Errorf("auth file %s: %w", string(a), err)
		}
		found.ServerAddress = ""
		if found != (types.AuthConfig{}) {
			return authn.AuthConfig{
				Username: found.Username, Password: found.Password, Auth: found.Auth,
				IdentityToken: found.IdentityToken, RegistryToken: found.RegistryToken,
			}, nil
		}
	}
	return authn.AuthConfig{}, nil
}

// authKeys returns the keys under which an auth file may hold a repository's login, the most specific one first: podman's files
// have logins for namespaces and single repositories (containers-auth.json(5)).
func authKeys(repo name.Repository) []string {
	var keys []string
	for key := repo.String(); key != repo.Host(); key = key[:strings.LastIndexByte(key, '/')] {
		keys = append(keys, key)
	}
	keys = append(keys, repo.Host())
	if repo.Host() == dockerHub {
		keys = append(keys, authn.DefaultAuthKey)
	}
	return keys
}

// login is what the user who runs us is logged in to. A login that cannot be read is no reason to fail for public images.
type login struct {
	keychain authn.Keychain
	log      *slog.Logger
}

func (l login) resolve(ctx context.Context, repo name.Repository) (authn.AuthConfig, error) {
	auth, err := authn.Resolve(ctx, l.keychain, resource{repo})
	if err == nil {
		var found *authn.AuthConfig
		if found, err = authn.Authorization(ctx, auth); err == nil {
			return *found, nil
		}
	}
	l.log.LogAttrs(ctx, slog.LevelWarn, "cannot read the registry login, going on without one",
		slog.String("host", repo.Host()), slog.String("error", clean(err.Error())))
	return authn.AuthConfig{}, nil
}

// resource names a repository to a keychain.
type resource struct{ name.Repository }

func (r resource) String() string { return r.RegistryStr() + "/" + r.Path() }

func (r resource) RegistryStr() string {
	if r.Host() == dockerHub {
		return "index.docker.io"
	}
	return r.Host()
}

var _ authn.Resource = resource{}
