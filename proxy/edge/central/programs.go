package central

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// programs are those with which a delta may be made for a client.
type programs struct {
	// theirs are all that the client has; allowed are those of this machine that make the same bytes there, sorted.
	theirs  []delta.Program
	allowed []string
}

// programs finds which of this machine's programs may be used for a client that has others, each "name/version".
func (c *Central) programs(has []string) programs {
	var p programs
	for _, text := range has {
		p.theirs = append(p.theirs, program(text))
	}
	if c.Encoders == nil {
		return p
	}
	for _, own := range c.Encoders.Available() {
		if wrap.Compatible(delta.Encoder{Program: own.Name, Version: own.Version}, p.theirs) {
			p.allowed = append(p.allowed, own.String())
		}
	}
	slices.Sort(p.allowed)
	return p
}

// runs reports whether the client can run what a delta needs.
func (p programs) runs(needs []string) bool {
	return !slices.ContainsFunc(needs, func(need string) bool {
		n := program(need)
		return !wrap.Compatible(delta.Encoder{Program: n.Name, Version: n.Version}, p.theirs)
	})
}

// variant is what tells the deltas of a pair apart.
func variant(worth int64, allowed []string) string {
	return variantOf(worth, "", allowed)
}

// variantOf names how deltas are made; from tells those that come from elsewhere.
func variantOf(worth int64, from string, programs []string) string {
	sum := sha256.Sum256([]byte(from + delta.Version + " " + strings.Join(programs, ",")))
	return strconv.FormatInt(worth, 10) + "-" + hex.EncodeToString(sum[:8])
}

// aboveVariant is that of deltas from the central above. It may be another one for each registry, and none of them is
// trusted with what another one's images are made of.
func aboveVariant(host string, worth int64, theirs []string) string {
	return variantOf(worth, "above "+host+" ", theirs)
}

// encoders are some of the programs of this machine.
type encoders struct {
	delta.Encoders
	allowed []string
}

// Available implements delta.Encoders.
func (e encoders) Available() []delta.Program {
	var out []delta.Program
	for _, p := range e.Encoders.Available() {
		if slices.Contains(e.allowed, p.String()) {
			out = append(out, p)
		}
	}
	return out
}

const (
	// noteEvery is how often it is noted that edges ask for deltas of a repository in some way.
	noteEvery = time.Hour
	// demandFor is how long deltas are made ahead after the last question.
	demandFor = 30 * 24 * time.Hour
)

// noteDemand remembers how an edge asks for deltas of a repository. Of two that are noted in the same instant one may be
// lost.
func (c *Central) noteDemand(ctx context.Context, repo name.Repository, worth int64, allowed []string) {
	now := c.Now().UTC()
	key := repo.String() + " " + variant(worth, allowed)
	if at, ok := c.asked.Get(key); ok && now.Sub(at) < noteEvery {
		return
	}
	c.asked.Add(key, now)
	rec, err := c.Records.DeltaDemands.Get(ctx, repo.String())
	if err == nil {
		if rec == nil {
			rec = &catalog.DeltaDemand{}
		}
		latest := []catalog.DeltaAsked{{Worth: worth, Encoders: allowed, At: now}}
		for _, a := range rec.Asked {
			same := a.Worth == worth && slices.Equal(a.Encoders, allowed)
			if !same && len(latest) < catalog.MaxDeltaAsked && now.Sub(a.At) < demandFor {
				latest = append(latest, a)
			}
		}
		err = c.Records.DeltaDemands.Put(ctx, repo.String(), &catalog.DeltaDemand{Asked: latest})
	}
	if err != nil {
		c.Logger.WarnContext(ctx, "how edges ask for deltas could not be noted", "repository", repo.String(), "error", err)
	}
}

// program reads "name/version".
func program(text string) delta.Program {
	name, version, _ := strings.Cut(text, "/")
	return delta.Program{Name: name, Version: version}
}
