package auth

import (
	"bytes"
	"context"
	"errors"
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
	"github.com/strata-oci/strata/proxy/upstream"
	"github.com/strata-oci/strata/proxy/upstream/transport"
)

const (
	// dockerHub is known by a name where no registry answers; logins for it go by another one.
	dockerHub = "docker.io"

	maxPasswordFile = 64 << 10
	maxAuthFile     = 1 << 20
)

// Login is who we are to one registry. The zero value is the user's docker or podman login, if there is one.
type Login struct {
	// Username and Password log in. PasswordFile, read again whenever it changes, replaces Password.
	Username, Password, PasswordFile string
	// AuthFile is a docker config.json or a podman auth.json, used instead of the user's own one.
	AuthFile string
}

// check rejects what cannot be.
func (l Login) check() error {
	if hasPassword := l.Password != "" || l.PasswordFile != ""; hasPassword != (l.Username != "") {
		return errors.New("a user name and a password go together: one of them is missing")
	}
	return nil
}

// Credentials finds out who we are to an upstream. The zero AuthConfig means anonymous. It is safe for concurrent use.
type Credentials interface {
	Resolve(ctx context.Context, repo name.Repository) (authn.AuthConfig, error)
}

// New returns the credentials that a login names. keychain has the logins of those that name none; nil is
// authn.DefaultKeychain: docker's config.json, podman's auth.json, credential helpers. log is told of a login in it that
// cannot be read.
func New(c Login, keychain authn.Keychain, log *slog.Logger) (Credentials, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if keychain == nil {
		keychain = authn.DefaultKeychain
	}
	switch {
	case c.Username != "" && c.PasswordFile != "":
		return &passwordFile{username: c.Username, path: c.PasswordFile}, nil
	case c.Username != "":
		return static{Username: c.Username, Password: c.Password}, nil
	case c.AuthFile != "":
		return authFile(c.AuthFile), nil
	default:
		return keychainLogin{keychain, log}, nil
	}
}

// Elsewhere returns who we are to a server that has a registry's images: logins are looked up by the server's host, never by
// the registry's, whose passwords are none of its business.
func Elsewhere(creds Credentials, server string) Credentials {
	switch creds.(type) {
	case authFile, keychainLogin:
		return elsewhere{creds, server}
	}
	return creds
}

type elsewhere struct {
	Credentials
	server string
}

// Resolve implements Credentials.
func (e elsewhere) Resolve(ctx context.Context, repo name.Repository) (authn.AuthConfig, error) {
	there, err := name.Parser{}.Repository(e.server+"/"+repo.Path(), "")
	if err != nil {
		return authn.AuthConfig{}, nil //nolint:nilerr // a server without a dot or a port has no name in such files
	}
	return e.Credentials.Resolve(ctx, there)
}

type static authn.AuthConfig

func (s static) Resolve(context.Context, name.Repository) (authn.AuthConfig, error) {
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

func (p *passwordFile) Resolve(context.Context, name.Repository) (authn.AuthConfig, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	info, err := os.Stat(p.path)
	if err != nil {
		return authn.AuthConfig{}, fmt.Errorf("password file: %w", err)
	}
	if p.password == "" || !info.ModTime().Equal(p.modified) || info.Size() != p.size {
		text, err := transport.ReadFile(p.path, maxPasswordFile)
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

func (a authFile) Resolve(_ context.Context, repo name.Repository) (authn.AuthConfig, error) {
	data, err := transport.ReadFile(string(a), maxAuthFile)
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

// authKeys returns the keys under which an auth file may hold a repository's login, the most specific one first: podman's
// files have logins for namespaces and single repositories (containers-auth.json(5)).
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

// keychainLogin is what the user who runs us is logged in to. A login that cannot be read is no reason to fail for public
// images.
type keychainLogin struct {
	keychain authn.Keychain
	log      *slog.Logger
}

func (l keychainLogin) Resolve(ctx context.Context, repo name.Repository) (authn.AuthConfig, error) {
	auth, err := authn.Resolve(ctx, l.keychain, resource{repo})
	if err == nil {
		var found *authn.AuthConfig
		if found, err = authn.Authorization(ctx, auth); err == nil {
			return *found, nil
		}
	}
	l.log.LogAttrs(ctx, slog.LevelWarn, "cannot read the registry login, going on without one",
		slog.String("host", repo.Host()), slog.String("error", upstream.Clean(err.Error())))
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
