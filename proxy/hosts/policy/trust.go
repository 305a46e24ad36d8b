package policy

import (
	"bytes"
	"fmt"
	"slices"
)

// Grant is a key that signatures may be made with.
type Grant struct {
	// Scope is the repository, namespace or host for whose images the key counts.
	Scope string
	// Paths are the key's places on the host; PEMs are the same keys, for entries that hold keys themselves.
	Paths []string
	PEMs  [][]byte
	// Demand has images of the scope signed that the policy accepts unsigned.
	Demand bool
	// Admit lets images of the scope in, signed, that the policy rejects because it doesn't name them. An entry that rejects
	// them by name stays.
	Admit bool
}

// Trust returns the policy with a key added, and what people should know of it. Nothing gets weaker but by that key: entries
// that ask for a signature get the key beside theirs, all other members stay; what is rejected stays rejected unless Admit
// is set; no entry becomes one that accepts anything, and entries outside of the scope do not change.
func (p *Policy) Trust(g Grant) (*Policy, []string) {
	q := p.clone()
	entries := q.Transports[Docker]
	var notes []string
	m := q.FindScope(g.Scope)
	reqs, note := g.top(m)
	if reqs != nil {
		entries[g.Scope] = reqs
	}
	if note != "" {
		notes = append(notes, note)
	}
	for _, scope := range q.scopesWithin(g.Scope) {
		if scope == g.Scope {
			continue
		}
		reqs, note := g.extend(entries[scope])
		entries[scope] = reqs
		if note != "" {
			notes = append(notes, fmt.Sprintf("%s: %s", scope, note))
		}
	}
	return q, notes
}

// top returns the entry for the scope itself, made of the one that applied to it; nil when the policy stays as it is.
func (g Grant) top(m Match) ([]Requirement, string) {
	named := !m.Global && m.Scope != ""
	switch {
	case slices.ContainsFunc(m.Requirements, func(r Requirement) bool { return r.Type == Reject }):
		if g.Admit && !named {
			return []Requirement{g.requirement()}, ""
		}
		return nil, fmt.Sprintf("%s rejects %s, and so it stays", m, g.Scope)
	case !slices.ContainsFunc(m.Requirements, func(r Requirement) bool { return r.Type != AcceptAnything }):
		if g.Demand {
			return []Requirement{g.requirement()}, ""
		}
		return nil, fmt.Sprintf("%s accepts %s without a signature, and so it stays", m, g.Scope)
	}
	reqs, note := g.extend(m.Requirements)
	if note != "" {
		note = fmt.Sprintf("%s: %s", g.Scope, note)
	}
	if note != "" && equal(reqs, m.Requirements) {
		return nil, note
	}
	return reqs, note
}

// requirement asks for a signature by the key alone.
func (g Grant) requirement() Requirement {
	r := Requirement{Type: SigstoreSigned, Identity: &Identity{Type: MatchRepository}}
	if len(g.Paths) == 1 {
		r.KeyPath = g.Paths[0] // which older clients understand, too
	} else {
		r.KeyPaths = slices.Clone(g.Paths)
	}
	return r
}

// extend adds the key to what asks for signatures.
func (g Grant) extend(reqs []Requirement) (out []Requirement, note string) {
	out = slices.Clone(reqs)
	signatures := 0
	for i := range out {
		r := &out[i]
		switch {
		case r.Type == SignedBy || r.Type == SignedBaseLayer:
			note = "it asks for a GPG signature, which no image has that was rechunked"
		case r.Type != SigstoreSigned:
		case r.Fulcio != nil || r.PKI != nil:
			note = "it asks for a certificate, beside which clients allow no key"
		case r.Rekor():
			note = "it asks for an entry in a transparency log, which signatures of the proxy have not"
		default:
			g.add(r)
			signatures++
			if !r.Identity.repositoryOnly() {
				note = fmt.Sprintf("its signedIdentity is %s, which needs a tag in the signature; "+
					"those of cosign and of the proxy hold the repository alone: matchRepository fits", r.Identity)
			}
		}
	}
	if signatures > 1 {
		if note != "" {
			note += "; "
		}
		note += fmt.Sprintf("it asks for %d signatures, by different parties perhaps, and the key that was added "+
			"satisfies each: one signature of the proxy stands for all", signatures)
	}
	return out, note
}

// repositoryOnly reports whether a signature that names a repository without a tag can be accepted.
func (id *Identity) repositoryOnly() bool {
	return id != nil && (id.Type == MatchRepository || id.Type == ExactRepository)
}

// add adds the keys that are not there.
func (g Grant) add(r *Requirement) {
	if r.KeyData != nil || r.KeyDatas != nil {
		have := slices.Clone(r.KeyDatas)
		if r.KeyData != nil {
			have = [][]byte{r.KeyData}
		}
		n := len(have)
		for _, pem := range g.PEMs {
			if !slices.ContainsFunc(have,
				func(b []byte) bool { return bytes.Equal(bytes.TrimSpace(b), bytes.TrimSpace(pem)) }) {
				have = append(have, pem)
			}
		}
		if len(have) > n {
			r.KeyData, r.KeyDatas = nil, have
		}
		return
	}
	have := slices.Clone(r.KeyPaths)
	if r.KeyPath != "" {
		have = []string{r.KeyPath}
	}
	n := len(have)
	for _, path := range g.Paths {
		if !slices.Contains(have, path) {
			have = append(have, path)
		}
	}
	if len(have) > n {
		r.KeyPath, r.KeyPaths = "", have
	}
}

func equal(a, b []Requirement) bool {
	return slices.EqualFunc(a, b, func(a, b Requirement) bool {
		return a.KeyPath == b.KeyPath && slices.Equal(a.KeyPaths, b.KeyPaths) && bytes.Equal(a.KeyData, b.KeyData) &&
			len(a.KeyDatas) == len(b.KeyDatas)
	})
}
