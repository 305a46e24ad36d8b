package policy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/distribution/reference"
)

// signature is one that is there: who made it and for which name.
type signature struct{ key, name string }

// accepts is the model: would a client take an image with these signatures?
func accepts(reqs []Requirement, pulled reference.Named, signatures []signature) bool {
	for _, r := range reqs {
		ok := false
		switch {
		case r.Type == AcceptAnything:
			ok = true
		case r.Type == SigstoreSigned && r.Fulcio == nil && r.PKI == nil && !r.Rekor():
			keys := append(slices.Clone(r.KeyPaths), r.KeyPath)
			for _, k := range append(slices.Clone(r.KeyDatas), r.KeyData) {
				keys = append(keys, string(k))
			}
			ok = slices.ContainsFunc(signatures, func(s signature) bool {
				return s.key != "" && slices.Contains(keys, s.key) && r.Identity.Accepts(pulled, s.name)
			})
		}
		if !ok {
			return false
		}
	}
	return len(reqs) > 0
}

var (
	someScopes = []string{"", "*.io", "ghcr.io", "ghcr.io/a", "ghcr.io/a/os", "ghcr.io/a/os:1", "ghcr.io/ab",
		"proxy.io:5000",
		"proxy.io:5000/ghcr.io/a", "quay.io/b"}
	someNames = []string{"ghcr.io/a/os:1", "ghcr.io/a/os:2", "ghcr.io/a/os@" + someDigest, "ghcr.io/ab/os:1",
		"quay.io/b/c:1",
		"proxy.io:5000/ghcr.io/a/os:1", "proxy.io/x:1", "localhost/x:1"}
)

func randomRequirement(r *rand.Rand) Requirement {
	req := Requirement{Type: SigstoreSigned}
	switch r.IntN(9) {
	case 0:
		return Requirement{Type: AcceptAnything}
	case 1:
		return Requirement{Type: Reject}
	case 2:
		return Requirement{Type: SignedBy, KeyType: "GPGKeys", KeyPath: "/gpg"}
	case 3:
		req.Fulcio, req.RekorPath = []byte(`{"caPath":"/ca","oidcIssuer":"https://i","subjectEmail":"a@b"}`), "/rekor"
	case 4:
		req.KeyPath, req.RekorPath = "/a", "/rekor"
	case 5:
		req.KeyData = []byte("data")
	case 6:
		req.KeyDatas = [][]byte{[]byte("data"), []byte("other")}
	case 7:
		req.KeyPath = "/a"
	case 8:
		req.KeyPaths = []string{"/a", "/b"}
	}
	switch r.IntN(3) {
	case 0:
		req.Identity = &Identity{Type: MatchRepository}
	case 1:
		req.Identity = &Identity{Type: ExactRepository, DockerRepository: "ghcr.io/a/os"}
	}
	return req
}

func randomPolicy(r *rand.Rand) *Policy {
	reqs := func() (out []Requirement) {
		for range 1 + r.IntN(2) {
			out = append(out, randomRequirement(r))
		}
		return out
	}
	p := &Policy{Default: reqs(), Transports: map[string]Entries{}}
	if r.IntN(8) == 0 {
		return p
	}
	p.Transports[Docker] = Entries{}
	for _, s := range someScopes {
		if r.IntN(3) == 0 {
			p.Transports[Docker][s] = reqs()
		}
	}
	return p
}

// Whatever the policy: what is accepted after a key was added was accepted before, or is in the scope and signed with that
// key; what was accepted by a signature still is; and to add a key twice is to add it once.
func TestTrustNeverWeakens(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4000) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := randomPolicy(r)
		before := p.Bytes()
		if _, err := Parse(before); err != nil {
			t.Fatalf("%s: %v", before, err)
		}
		g := Grant{Scope: someScopes[1+r.IntN(len(someScopes)-1)], Paths: []string{"/ours"}, PEMs: [][]byte{[]byte("ours")},
			Demand: r.IntN(2) == 0, Admit: r.IntN(2) == 0}
		if g.Scope == "*.io" || g.Scope == "ghcr.io/a/os:1" {
			continue
		}
		q, _ := p.Trust(g)
		if !bytes.Equal(p.Bytes(), before) {
			t.Fatalf("seed %d: the policy itself was changed", seed)
		}
		if twice, _ := q.Trust(g); !bytes.Equal(twice.Bytes(), q.Bytes()) {
			t.Fatalf("seed %d: %s\nonce:  %s\ntwice: %s", seed, before, q.Bytes(), twice.Bytes())
		}
		if _, err := Parse(q.Bytes()); err != nil {
			t.Fatalf("seed %d: %v: %s", seed, err, q.Bytes())
		}
		for _, n := range someNames {
			checkTrust(t, fmt.Sprintf("seed %d, %s in %+v\n%s\n%s", seed, n, g, before, q.Bytes()), p, q, g, named(t, n))
		}
	}
}

func checkTrust(t *testing.T, where string, p, q *Policy, g Grant, pulled reference.Named) {
	t.Helper()
	old, now := p.Find(pulled).Requirements, q.Find(pulled).Requirements
	inScope := Within(pulled.Name(), g.Scope)
	for _, key := range []string{"", "/a", "/b", "data", "other", "/ours", "ours"} {
		sigs := []signature{{key, pulled.Name()}, {key, pulled.String()}, {key, "ghcr.io/a/os"}}
		ours := key == "/ours" || key == "ours"
		was, is := accepts(old, pulled, sigs), accepts(now, pulled, sigs)
		if is && !was && !(ours && inScope) {
			t.Fatalf("weaker with %q: %s", key, where)
		}
		unsigned := accepts(old, pulled, nil)
		if was && !is && !(unsigned && g.Demand && inScope) {
			t.Fatalf("%q is no longer accepted: %s", key, where)
		}
	}
	both := []signature{{"/a", pulled.Name()}, {"data", pulled.Name()}}
	if !inScope && accepts(old, pulled, both) != accepts(now, pulled, both) {
		t.Fatalf("changed outside of the scope: %s", where)
	}
}

func TestTrustNotes(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		reqs string
		want string
	}{
		"GPG":      {`{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k"}`, "GPG"},
		"fulcio":   {`{"type":"sigstoreSigned","fulcio":{"caPath":"/c","oidcIssuer":"https://i","subjectEmail":"a@b"},"rekorPublicKeyPath":"/r"}`, "certificate"},
		"log":      {`{"type":"sigstoreSigned","keyPath":"/k","rekorPublicKeyPath":"/r"}`, "transparency log"},
		"identity": {`{"type":"sigstoreSigned","keyPath":"/k"}`, "matchRepository fits"},
		"two parties": {`{"type":"sigstoreSigned","keyPath":"/a","signedIdentity":{"type":"matchRepository"}},` +
			`{"type":"sigstoreSigned","keyPath":"/b","signedIdentity":{"type":"matchRepository"}}`,
			"asks for 2 signatures"},
		"two parties and a key that is there": {`{"type":"sigstoreSigned","keyPaths":["/a","/ours"]},` +
			`{"type":"sigstoreSigned","keyPaths":["/b","/ours"]}`, "asks for 2 signatures"},
		"reject":   {`{"type":"reject"}`, "so it stays"},
		"anything": {`{"type":"insecureAcceptAnything"}`, "without a signature, and so it stays"},
	} {
		p, err := Parse([]byte(`{"default":[{"type":"reject"}],"transports":{"docker":{"ghcr.io":[` + tt.reqs + `]}}}`))
		if err != nil {
			t.Fatal(err)
		}
		_, notes := p.Trust(Grant{Scope: "ghcr.io/a", Paths: []string{"/ours"}})
		if len(notes) != 1 || !bytes.Contains([]byte(notes[0]), []byte(tt.want)) {
			t.Errorf("%s: %q", name, notes)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"default":[{"type":"reject"}],"transports":{"docker":{"":[{"type":"insecureAcceptAnything"}]}}}`))
	f.Add([]byte(`{"default":[{"type":"sigstoreSigned","keyDatas":["AA=="],"signedIdentity":{"type":"matchRepository"}}]}`))
	f.Add([]byte(`{"default":[{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k","signedIdentity":{"type":"matchExact"}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(p.Bytes())
		if err != nil || !bytes.Equal(again.Bytes(), p.Bytes()) {
			t.Fatalf("%q became %q: %v", b, p.Bytes(), err)
		}
		q, _ := p.Trust(Grant{Scope: "ghcr.io/a", Paths: []string{"/k"}, PEMs: [][]byte{[]byte("k")}, Demand: true,
			Admit: true})
		if _, err := Parse(q.Bytes()); err != nil {
			t.Fatalf("%q: %v", q.Bytes(), err)
		}
	})
}
