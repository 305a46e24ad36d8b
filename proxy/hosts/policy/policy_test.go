package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/distribution/reference"
)

func named(t testing.TB, s string) reference.Named {
	t.Helper()
	n, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const someDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestFind(t *testing.T) {
	t.Parallel()
	entry := `[{"type":"reject"}]`
	policyOf := func(scopes ...string) string {
		var b strings.Builder
		for i, s := range scopes {
			if i > 0 {
				b.WriteString(",")
			}
			b.WriteString(`"` + s + `":` + entry)
		}
		return `{"default":[{"type":"insecureAcceptAnything"}],"transports":{"docker":{` + b.String() + `}}}`
	}
	all := []string{
		"ghcr.io/a/os:1", "ghcr.io/a/os@" + someDigest, "ghcr.io/a/os", "ghcr.io/a", "ghcr.io", "*.io", "",
		"reg.example.com:5000", "*.example.com", "*.com", "docker.io/library/os",
	}
	for _, tt := range []struct {
		name     string
		drop     []string
		want     string
		defaults bool
	}{
		{name: "ghcr.io/a/os:1", want: "ghcr.io/a/os:1"},
		{name: "ghcr.io/a/os:2", want: "ghcr.io/a/os"},
		{name: "ghcr.io/a/os:1@" + someDigest, want: "ghcr.io/a/os@" + someDigest},
		{name: "ghcr.io/a/os@" + strings.Replace(someDigest, ":a", ":b", 1), want: "ghcr.io/a/os"},
		{name: "ghcr.io/a/osx:1", want: "ghcr.io/a"},
		{name: "ghcr.io/ab/os:1", want: "ghcr.io"},
		{name: "ghcr.io:443/a/os:1", want: "*.io"},
		{name: "quay.io/a/os:1", want: "*.io"},
		{name: "reg.example.com:5000/os:1", want: "reg.example.com:5000"},
		{name: "reg.example.com/os:1", want: "*.example.com"},
		{name: "a.reg.example.com:5000/os:1", want: "*.example.com"},
		{name: "example.com/os:1", want: "*.com"},
		{name: "os:1", want: "docker.io/library/os"},
		{name: "localhost/os:1", want: ""},
		{name: "localhost/os:1", drop: []string{""}, defaults: true},
	} {
		var scopes []string
		for _, s := range all {
			if len(tt.drop) == 0 || s != tt.drop[0] {
				scopes = append(scopes, s)
			}
		}
		p, err := Parse([]byte(policyOf(scopes...)))
		if err != nil {
			t.Fatal(err)
		}
		m := p.Find(named(t, tt.name))
		if m.Scope != tt.want || m.Global != tt.defaults {
			t.Errorf("%s: %s (%q, %v)", tt.name, m, m.Scope, m.Global)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	in := func(requirement string) string {
		return `{"default":[{"type":"reject"}],"transports":{"docker":{"x.io":[` + requirement + `]}}}`
	}
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":         {"", "EOF"},
		"no object":       {"[]", `an object is expected where "[]" is`},
		"null":            {" null\n", `an object is expected where "null" is`},
		"a number":        {"5", `an object is expected where "5" is`},
		"null transports": {`{"default":[{"type":"reject"}],"transports":null}`, `an object is expected where "null" is`},
		"null identity": {in(`{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":null}`),
			`an object is expected where "null" is`},
		"no default":           {`{"transports":{}}`, `"default" is missing`},
		"empty default":        {`{"default":[]}`, "the list of requirements is empty"},
		"member of no meaning": {`{"default":[{"type":"reject"}],"x":1}`, `"x": is unknown`},
		"member twice": {`{"default":[{"type":"reject"}],"default":[{"type":"insecureAcceptAnything"}]}`,
			"comes twice"},
		"other case":        {`{"Default":[{"type":"reject"}]}`, `"Default": is unknown`},
		"more after it":     {`{"default":[{"type":"reject"}]} {}`, "more after"},
		"unknown type":      {in(`{"type":"sigstore"}`), `type "sigstore" is unknown`},
		"no key":            {in(`{"type":"sigstoreSigned"}`), "exactly one of"},
		"two kinds of keys": {in(`{"type":"sigstoreSigned","keyPath":"/a","keyPaths":["/b"]}`), "not 2"},
		"no keys in a list": {in(`{"type":"sigstoreSigned","keyPaths":[]}`), "the list of keys is empty"},
		"key of another type": {in(`{"type":"sigstoreSigned","keyType":"GPGKeys","keyPath":"/a"}`),
			`"keyType": is unknown`},
		"signedBy without type": {in(`{"type":"signedBy","keyPath":"/a"}`), `"keyType" is missing`},
		"reject with more":      {in(`{"type":"reject","keyPath":"/a"}`), `"keyPath": is unknown`},
		"unknown identity": {in(`{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"matchName"}}`),
			"identity"},
		"identity with a name":  {in(`{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"matchExact","prefix":"x"}}`), "names of its own"},
		"reference without tag": {in(`{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"exactReference","dockerReference":"x.io/y"}}`), "no name with a tag"},
		"half of a remapping":   {in(`{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"remapIdentity","prefix":"x.io"}}`), "signedPrefix"},
		"fulcio without a log":  {in(`{"type":"sigstoreSigned","fulcio":{"caPath":"/a"}}`), "log's key"},
		"fulcio of nothing": {in(`{"type":"sigstoreSigned","fulcio":{},"rekorPublicKeyPath":"/r"}`),
			`"caPath" and "caData"`},
		"fulcio of two":     {in(`{"type":"sigstoreSigned","fulcio":{"caPath":"/a","caData":"AA==","oidcIssuer":"i","subjectEmail":"e"},"rekorPublicKeyPath":"/r"}`), "exactly one"},
		"fulcio of anybody": {in(`{"type":"sigstoreSigned","fulcio":{"caPath":"/a","oidcIssuer":"i"},"rekorPublicKeyPath":"/r"}`), `"subjectEmail" are needed`},
		"fulcio with more":  {in(`{"type":"sigstoreSigned","fulcio":{"caPath":"/a","oidcIssuer":"i","subjectEmail":"e","x":1},"rekorPublicKeyPath":"/r"}`), `"x": is unknown`},
		"fulcio is text": {in(`{"type":"sigstoreSigned","fulcio":"x","rekorPublicKeyPath":"/r"}`),
			"an object is expected"},
		"pki of nothing": {in(`{"type":"sigstoreSigned","pki":{"subjectEmail":"e"}}`),
			`"caRootsPath" and "caRootsData"`},
		"pki of anybody":       {in(`{"type":"sigstoreSigned","pki":{"caRootsPath":"/a"}}`), `"subjectHostname" is needed`},
		"pki with two between": {in(`{"type":"sigstoreSigned","pki":{"caRootsPath":"/a","caIntermediatesPath":"/b","caIntermediatesData":"AA==","subjectEmail":"e"}}`), "exclude each other"},
		"pki with no text": {in(`{"type":"sigstoreSigned","pki":{"caRootsPath":5,"subjectEmail":"e"}}`),
			"cannot unmarshal"},
		"signedBy unknown": {in(`{"type":"signedBy","keyType":"gpg","keyPath":"/a"}`), `"keyType" "gpg" is unknown`},
		"base layer of nothing": {in(`{"type":"signedBaseLayer","baseLayerIdentity":{"type":"x"}}`),
			`the identity "x" is unknown`},
		"type twice": {in(`{"type":"reject","type":"insecureAcceptAnything"}`), "comes twice"},
		"too many requirements": {in(strings.Repeat(`{"type":"reject"},`, maxRequirements) + `{"type":"reject"}`),
			"more than"},
		"too large":              {`{"default":[{"type":"reject"}]}` + strings.Repeat(" ", MaxBytes), "more than"},
		"requirements no list":   {`{"default":{"type":"reject"}}`, "cannot unmarshal"},
		"base layer without one": {in(`{"type":"signedBaseLayer"}`), "baseLayerIdentity"},
	} {
		_, err := Parse([]byte(tt.text))
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	const repo, tagged, byDigest = "ghcr.io/a/os", "ghcr.io/a/os:1", "ghcr.io/a/os@" + someDigest
	remap := &Identity{Type: RemapIdentity, Prefix: "ghcr.io/a", SignedPrefix: "quay.io/b"}
	for _, tt := range []struct {
		id             *Identity
		pulled, signed string
		want           bool
	}{
		{&Identity{Type: MatchExact}, tagged, tagged, true},
		{&Identity{Type: MatchExact}, tagged, repo, false},
		{&Identity{Type: MatchExact}, byDigest, tagged, false},
		{nil, tagged, tagged, true},
		{nil, tagged, repo, false},
		{nil, byDigest, tagged, true},
		{nil, byDigest, repo, false}, // what cosign writes
		{nil, tagged + "@" + someDigest, tagged, false},
		{&Identity{Type: MatchRepoDigestOrExact}, byDigest, "ghcr.io/a/os:2", true},
		{&Identity{Type: MatchRepository}, tagged, repo, true},
		{&Identity{Type: MatchRepository}, byDigest, "ghcr.io/a/os:9", true},
		{&Identity{Type: MatchRepository}, tagged, "ghcr.io/a/osx", false},
		{&Identity{Type: MatchRepository}, "os:1", "docker.io/library/os", true},
		{&Identity{Type: MatchRepository}, tagged, "not a name", false},
		{&Identity{Type: ExactReference, DockerReference: "x.io/y:1"}, tagged, "x.io/y:1", true},
		{&Identity{Type: ExactReference, DockerReference: "x.io/y:1"}, tagged, "x.io/y", false},
		{&Identity{Type: ExactRepository, DockerRepository: "x.io/y"}, tagged, "x.io/y:7", true},
		{&Identity{Type: ExactRepository, DockerRepository: "x.io/y"}, tagged, tagged, false},
		{remap, tagged, "quay.io/b/os:1", true},
		{remap, tagged, "quay.io/b/os", false},
		{remap, byDigest, "quay.io/b/os:5", true},
		{remap, "ghcr.io/ab/os:1", "quay.io/b/os:1", false},
		{remap, "ghcr.io/ab/os:1", "ghcr.io/ab/os:1", true},
	} {
		if got := tt.id.Accepts(named(t, tt.pulled), tt.signed); got != tt.want {
			t.Errorf("%s, pulled %s, signed %s: %v", tt.id, tt.pulled, tt.signed, got)
		}
	}
}
