package access

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/distribution/distribution/v3/registry/auth"
	_ "github.com/distribution/distribution/v3/registry/auth/token" // registers itself as "token"
	"github.com/go-jose/go-jose/v4"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/livefile"
)

// signatures are the algorithms that tokens may be signed with: those with a public key. Distribution would also take
// shared secrets.
func signatures() []any {
	return []any{"EdDSA", "ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
}

// tokens checks bearer tokens. It is safe for concurrent use.
type tokens struct {
	file *livefile.File[auth.AccessController]
}

func newTokens(c config.Token, log *slog.Logger) (*tokens, error) {
	options := map[string]any{"realm": c.Realm, "service": c.Service, "issuer": c.Issuer, "signingalgorithms": signatures()}
	var paths []string
	var checks []func([]byte) error
	add := func(key, path string, check func([]byte) error) {
		if path != "" {
			options[key], paths, checks = path, append(paths, path), append(checks, check)
		}
	}
	add("rootcertbundle", c.RootCertFile, checkCertificates)
	add("jwks", c.JWKSFile, checkKeySet)
	parse := func(contents [][]byte) (auth.AccessController, error) {
		for i, content := range contents {
			if err := checks[i](content); err != nil {
				return nil, fmt.Errorf("%s: %w", paths[i], err)
			}
		}
		return controller(options)
	}
	file, err := livefile.New(paths, parse, livefile.Options{What: "keys of tokens", Logger: log})
	if err != nil {
		return nil, fmt.Errorf("keys of tokens: %w", err)
	}
	return &tokens{file}, nil
}

// check returns who a token names. Without a token for what is wanted there is a challenge.
func (t *tokens) check(ctx context.Context, authorization string, wanted ...auth.Access) (Login, auth.Challenge, error) {
	grant, challenge, err := authorize(ctx, t.file.Get(), authorization, wanted...)
	if err != nil || challenge != nil {
		return Login{}, challenge, err
	}
	return Login{Name: grant.User.Name}, nil, nil
}

// controller makes distribution's controller for tokens. A panic over its options becomes an error.
func controller(options map[string]any) (c auth.AccessController, err error) {
	defer func() {
		if p := recover(); p != nil {
			c, err = nil, fmt.Errorf("token authentication cannot be set up: %v", p)
		}
	}()
	return auth.GetAccessController("token", options)
}

// authorize asks a controller with the credentials of a request and nothing else of it: what the controller logs is then
// its own. The challenge is what the client should answer; the error is not the client's fault.
func authorize(
	ctx context.Context, c auth.AccessController, authorization string, wanted ...auth.Access,
) (grant *auth.Grant, challenge auth.Challenge, err error) {
	defer func() {
		if p := recover(); p != nil {
			grant, challenge, err = nil, nil, fmt.Errorf("checking the credentials panicked: %v", p)
		}
	}()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Authorization", authorization)
	grant, err = c.Authorized(r, wanted...)
	if errors.As(err, &challenge) {
		return nil, challenge, nil
	}
	if err == nil && grant == nil {
		err = errors.New("the credentials were neither accepted nor refused")
	}
	return grant, nil, err
}

func checkCertificates(content []byte) error {
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			return errors.New("it has no certificate in PEM form")
		}
		if block.Type == "CERTIFICATE" {
			return nil
		}
	}
}

// checkKeySet refuses keys that are no public ones: whoever can check a shared secret can sign with it.
func checkKeySet(content []byte) error {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(content, &set); err != nil {
		return errors.New("it is no JSON web key set") // the cause could quote a key
	}
	if len(set.Keys) == 0 {
		return errors.New("it has no keys")
	}
	for i, key := range set.Keys {
		switch {
		case !key.IsPublic():
			return fmt.Errorf("key %d is a secret one: give the proxy public keys only", i+1)
		case !key.Valid():
			return fmt.Errorf("key %d is not valid", i+1)
		case key.KeyID == "":
			return fmt.Errorf("key %d has no kid, so no token can name it", i+1)
		}
	}
	return nil
}
