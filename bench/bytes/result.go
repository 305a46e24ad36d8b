package main

import (
	"cmp"
	"context"
	"slices"
)

// seriesResult is what is known of a series in the end; sizes are compressed bytes.
type seriesResult struct {
	Name     string            `json:"name"`
	Versions []versionResult   `json:"versions"`
	Floor    [len(lags)]int64  `json:"floor"` // sums over the series, by lag
	Programs []contenderResult `json:"programs"`
}

// versionResult describes a version and the step to it.
type versionResult struct {
	Tag      string `json:"tag"`
	Entries  int    `json:"entries"`
	Packages int    `json:"packages"`
	// PackageList is a digest of the sorted lines "component TAB version" of all components that have a version.
	PackageList string           `json:"package_list"`
	Kernel      string           `json:"kernel"`
	Floor       [len(lags)]int64 `json:"floor"`
}

// contenderResult is what a program does on a series. Update bytes are sums over the series by lag; own is with its own
// compression, ours with Strata's.
type contenderResult struct {
	Name        string           `json:"name"`
	Layers      int              `json:"layers"` // the limit; 0 for none
	LayersUsed  float64          `json:"layers_used"`
	Own         [len(lags)]int64 `json:"own"`
	Ours        [len(lags)]int64 `json:"ours"`
	StepsOwn    []int64          `json:"steps_own"` // one version behind
	StepsOurs   []int64          `json:"steps_ours"`
	FreshOwn    int64            `json:"fresh_own"` // the last version
	FreshOurs   int64            `json:"fresh_ours"`
	Stale       float64          `json:"stale"` // mean share
	Explanation []explanation    `json:"explanation,omitempty"`
}

// explanation says where a step's bytes above the floor go.
type explanation struct {
	From   string  `json:"from"`
	To     string  `json:"to"`
	Ratio  float64 `json:"ratio"`
	Excess []blame `json:"excess"`
}

// above the ratio a step of Strata's is explained, by so many components.
const (
	explainAbove = 1.03
	explainMost  = 5
)

func (c *contest) result(ctx context.Context) (*seriesResult, error) {
	r := &seriesResult{Name: c.s.name}
	for n, v := range c.versions {
		list, count := v.packageList()
		r.Versions = append(r.Versions, versionResult{
			Tag: v.tag, Entries: len(v.tree().Entries), Packages: count, PackageList: list, Kernel: v.kernel(),
			Floor: c.floors[n],
		})
		for l := range lags {
			r.Floor[l] += c.floors[n][l]
		}
	}
	for _, p := range c.list {
		x := p.result()
		if p.name == "Strata" {
			var err error
			if x.Explanation, err = c.explain(ctx, p); err != nil {
				return nil, err
			}
		}
		r.Programs = append(r.Programs, x)
	}
	return r, nil
}

func (p *contender) result() contenderResult {
	x := contenderResult{Name: p.name, Layers: p.layers}
	for n, img := range p.images {
		x.LayersUsed += float64(len(img)) / float64(len(p.images))
		for l, lag := range lags {
			if n < lag {
				continue
			}
			own, ours := fetch(p.images[n-lag], img)
			x.Own[l] += own
			x.Ours[l] += ours
			if lag == 1 {
				x.StepsOwn, x.StepsOurs = append(x.StepsOwn, own), append(x.StepsOurs, ours)
			}
		}
	}
	x.FreshOwn, x.FreshOurs = p.images[len(p.images)-1].bytes()
	for _, s := range p.stale {
		x.Stale += s / float64(len(p.stale))
	}
	return x
}

// explain asks strata where the bytes of the steps went that are well above the floor.
func (c *contest) explain(ctx context.Context, p *contender) ([]explanation, error) {
	var out []explanation
	for n := 1; n < len(p.images); n++ {
		sent, _ := fetch(p.images[n-1], p.images[n])
		ratio := float64(sent) / float64(max(1, c.floors[n][0]))
		if ratio <= explainAbove {
			continue
		}
		e := explanation{From: c.versions[n-1].tag, To: c.versions[n].tag, Ratio: ratio}
		list, err := c.strata[p.layers].explain(ctx, e.From, e.To)
		if err != nil {
			return nil, err
		}
		e.Excess = excess(list)
		out = append(out, e)
	}
	return out, nil
}

// excess picks the components of which most is sent again.
func excess(list []blame) []blame {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b blame) int { return cmp.Compare(b.UnchangedBytes, a.UnchangedBytes) })
	return list[:min(len(list), explainMost)]
}
