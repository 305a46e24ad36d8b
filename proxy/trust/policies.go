package trust

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/livefile"
	"github.com/strata-oci/strata/proxy/trust/keyless"
	"github.com/strata-oci/strata/proxy/trust/keys"
	"github.com/strata-oci/strata/proxy/trust/verify"
)

// maxPolicies bounds the policies in memory. A policy of as many rules as a configuration may have is read again.
const maxPolicies = 1024

// policy is what a rule asks for, with its name.
type policy struct {
	verify.Policy
	fingerprint string
	narrower    *lru.Cache[string, bool] // what widens has said
}

// maxNarrower bounds the fingerprints of policies of before that are remembered for one of today.
const maxNarrower = 64

// widens reports whether whatever passed by the policy of a fingerprint passes by this one, too.
func (p *policy) widens(fingerprint string) bool {
	known, ok := p.narrower.Get(fingerprint)
	if !ok {
		known = p.Narrower(fingerprint) != nil
		p.narrower.Add(fingerprint, known)
	}
	return known
}

// policies are made of the files that rules name, and as new as these. They are safe for concurrent use.
type policies struct {
	read *lru.Cache[string, *livefile.File[*policy]]
	log  *slog.Logger
	now  func() time.Time
}

func newPolicies(log *slog.Logger, now func() time.Time) *policies {
	read, _ := lru.New[string, *livefile.File[*policy]](maxPolicies) // fails for sizes below 1 only
	return &policies{read, log, now}
}

// of returns what a rule asks for; nil for a rule that asks for nothing.
func (p *policies) of(rule config.Verify) (*policy, error) {
	if !rule.Enabled() {
		return nil, nil
	}
	key := fmt.Sprintf("%q", append(slices.Clone(rule.Keys), rule.SignedAs, rule.Keyless.Issuer, rule.Keyless.Identity,
		rule.Keyless.IdentityPattern, rule.Keyless.TrustedRoot))
	if file, ok := p.read.Get(key); ok {
		return file.Get(), nil
	}
	paths := slices.Clone(rule.Keys)
	if rule.Keyless.Set() {
		paths = append(paths, rule.Keyless.TrustedRoot)
	}
	file, err := livefile.New(paths, func(contents [][]byte) (*policy, error) { return parsePolicy(rule, contents) },
		livefile.Options{What: "keys of verify", Logger: p.log, Now: p.now})
	if err != nil {
		return nil, fmt.Errorf("verify of a repository: %w", err)
	}
	p.read.Add(key, file)
	return file.Get(), nil
}

// parsePolicy makes a policy of the contents of a rule's files.
func parsePolicy(rule config.Verify, contents [][]byte) (*policy, error) {
	out := &policy{Policy: verify.Policy{SignedAs: rule.SignedAs}}
	out.narrower, _ = lru.New[string, bool](maxNarrower) // fails for sizes below 1 only
	for i, path := range rule.Keys {
		found, err := keys.ParsePublic(contents[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, k := range found {
			if !slices.ContainsFunc(out.Keys, func(have keys.Public) bool { return have.ID() == k.ID() }) {
				out.Keys = append(out.Keys, k)
			}
		}
	}
	if len(out.Keys) > keys.MaxKeys {
		return nil, fmt.Errorf("%s: %d keys, at most %d", strings.Join(rule.Keys, ", "), len(out.Keys), keys.MaxKeys)
	}
	if k := rule.Keyless; k.Set() {
		v, err := keyless.New(contents[len(rule.Keys)],
			keyless.Rules{Issuer: k.Issuer, Identity: k.Identity, IdentityPattern: k.IdentityPattern})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.TrustedRoot, err)
		}
		out.Keyless = v
	}
	out.fingerprint = out.Fingerprint()
	return out, nil
}
