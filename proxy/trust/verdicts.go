package trust

import (
	"cmp"
	"slices"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/trust/verify"
)

// fits reports whether the names that signatures gave allow an image to be shown under a tag.
func fits(rec *catalog.Verdict, tag string) bool {
	return verify.Fits(rec.Claims, tag) &&
		!slices.ContainsFunc(rec.Names, func(claim string) bool { return !verify.Fits(claim, tag) })
}

// stands reports whether a verdict need not be reached again. One that passed stands under another policy, too, that names
// all of its signers: a key that is added takes nothing away, also while the upstream is out of reach. One that is removed
// counts at once.
func (g *Guard) stands(repository string, rec *catalog.Verdict, p *policy) bool {
	if rec.Policy == p.fingerprint {
		return rec.Passed || g.Now().Before(rec.RetryAt)
	}
	if !rec.Passed {
		return false
	}
	if len(rec.Signers) == 0 {
		return stood(repository, rec, p)
	}
	return rec.As == signedAs(repository, p) &&
		!slices.ContainsFunc(rec.Signers, func(s string) bool { return !p.Names(s) })
}

// standing returns what need not be found out again of an image, or nil: the verdict on it or, where that is a refusal by
// another policy, the one before. Whose key was named before and is named again has signed what it had signed.
func (g *Guard) standing(repository string, rec *catalog.Verdict, p *policy) *catalog.Verdict {
	switch {
	case rec == nil:
		return nil
	case rec.Was != nil && g.stands(repository, rec.Was, p):
		return rec.Was
	case g.stands(repository, rec, p):
		return rec
	}
	return nil
}

// stood is stands for a verdict that passed and was recorded by a build that did not note its signers. It stands where all
// whom its policy named are named still, or where the key is that it says it passed by: of an image with a signature of its
// own that is all that it took.
func stood(repository string, rec *catalog.Verdict, p *policy) bool {
	switch verify.How(rec.How) {
	case verify.ByTag:
		if p.Names(rec.By) && verify.Repository(rec.Claims) == signedAs(repository, p) {
			return true
		}
	case verify.ByBundle: // which names no repository
		if p.Names(rec.By) {
			return true
		}
	}
	return p.widens(rec.Policy)
}

// signedAs is the repository that signatures have to name.
func signedAs(repository string, p *policy) string { return cmp.Or(p.SignedAs, repository) }

// pass notes in a verdict what made an image pass.
func pass(rec *catalog.Verdict, repository string, p *policy, found *verify.Verdict) {
	rec.Passed, rec.By, rec.How, rec.Claims = true, found.By, string(found.How), found.Claims
	rec.As, rec.Signers, rec.Names = signedAs(repository, p), nil, nil
	if len(found.Parts) == 0 {
		rec.Signers = []string{p.Signer(found.By)}
		return
	}
	for _, part := range found.Parts {
		rec.Signers = append(rec.Signers, p.Signer(part.By))
		if part.Claims != "" {
			rec.Names = append(rec.Names, part.Claims)
		}
	}
	slices.Sort(rec.Signers)
	slices.Sort(rec.Names)
	rec.Signers, rec.Names = slices.Compact(rec.Signers), slices.Compact(rec.Names)
}

// passes reports whether a verdict, or the one before it, says that an image passes by the policy of a fingerprint, if that
// is the one of now.
func (g *Guard) passes(repository string, rec *catalog.Verdict, fingerprint string) bool {
	p, err := g.policies.of(g.Rule(repository).Verify)
	if p == nil || err != nil || p.fingerprint != fingerprint {
		return false
	}
	stands := g.standing(repository, rec, p)
	return stands != nil && stands.Passed
}
