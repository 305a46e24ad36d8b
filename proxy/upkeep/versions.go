package upkeep

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk"
)

// candidate is a version that may be evicted.
type candidate struct {
	digest digest.Digest
	last   time.Time // it was pulled, or made
}

// versions evicts the versions that nobody has pulled for longest.
func (e *eviction) versions(ctx context.Context) error {
	all, err := e.candidates(ctx)
	if err != nil || len(all) == 0 {
		return err
	}
	freed, err := e.freed(ctx, all)
	if err != nil {
		return err
	}
	evicted := map[digest.Digest]bool{}
	want := e.missing()
	for i := 0; i < len(all) && want > 0; i++ {
		evicted[all[i].digest] = true
		want -= freed[i]
	}
	return e.collectFor(ctx, evicted)
}

// candidates lists the versions that may be evicted, the one that was pulled longest ago first.
func (e *eviction) candidates(ctx context.Context) ([]candidate, error) {
	m, err := e.mark(ctx, rules{policy: e.policy})
	if err != nil {
		return nil, err
	}
	defer m.close()
	var out []candidate
	err = e.records.Lineages.Each(ctx, catalog.Prefix[catalog.LineageKey]{},
		func(_ catalog.LineageKey, l *rechunk.Lineage) error {
			for i := range l.Versions {
				v := &l.Versions[i]
				if i == 0 || m.tagged(v.Digest) {
					continue
				}
				last, err := e.LastPull(ctx, v.Digest)
				if err != nil {
					return err
				}
				if v.Created.After(last) {
					last = v.Created
				}
				out = append(out, candidate{v.Digest, last})
			}
			return nil
		})
	slices.SortFunc(out, func(a, b candidate) int {
		return cmp.Or(a.last.Compare(b.last), cmp.Compare(a.digest, b.digest))
	})
	return slices.CompactFunc(out, func(a, b candidate) bool { return a.digest == b.digest }), err
}

// layerUse says that the version of a rank has a layer of so many bytes.
type layerUse struct {
	layer hash
	rank  uint32
	size  int64
}

func layerUseCodec() codec[layerUse] {
	const size = len(hash{}) + 4 + 8
	return codec[layerUse]{
		encode: func(u layerUse) ([]byte, error) {
			b := append(make([]byte, 0, size), u.layer[:]...)
			b = binary.BigEndian.AppendUint32(b, u.rank)
			return binary.BigEndian.AppendUint64(b, uint64(u.size)), nil
		},
		decode: func(b []byte) (u layerUse, err error) {
			if len(b) != size {
				return u, errDamagedEntry
			}
			n := copy(u.layer[:], b)
			u.rank, u.size = binary.BigEndian.Uint32(b[n:]), int64(binary.BigEndian.Uint64(b[n+4:]))
			return u, nil
		},
		compare: func(a, b layerUse) int {
			return cmp.Or(bytes.Compare(a.layer[:], b.layer[:]), cmp.Compare(a.rank, b.rank))
		},
	}
}

// freed returns, for each of the candidates, the bytes of the layers that nothing needs once it and those before it are
// gone.
func (e *eviction) freed(ctx context.Context, all []candidate) ([]int64, error) {
	rank, evicted := map[digest.Digest]uint32{}, map[digest.Digest]bool{}
	for i, c := range all {
		rank[c.digest], evicted[c.digest] = uint32(i), true
	}
	rest, err := e.mark(ctx, rules{policy: e.policy, evicted: evicted}) // what stays when all of them go
	if err != nil {
		return nil, err
	}
	defer rest.close()
	uses := newSorter(ctx, e.WorkDir, layerUseCodec())
	defer uses.abandon()
	err = e.records.Lineages.Each(ctx, catalog.Prefix[catalog.LineageKey]{},
		func(_ catalog.LineageKey, l *rechunk.Lineage) error {
			for i := range l.Versions {
				n, ok := rank[l.Versions[i].Digest]
				if !ok {
					continue
				}
				for _, layer := range l.Versions[i].Layers {
					h, ok := hashOf(layer.Digest)
					if !ok {
						continue
					}
					if err := uses.add(layerUse{h, n, layer.Size}); err != nil {
						return err
					}
				}
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	out := make([]int64, len(all))
	var last layerUse
	count := func() error {
		u, err := rest.useOf(last.layer)
		if u == 0 && err == nil {
			out[last.rank] += last.size
		}
		return err
	}
	err = uses.each(func(u layerUse) (err error) {
		if last.layer != (hash{}) && last.layer != u.layer {
			err = count()
		}
		last = u
		return err
	})
	if err == nil && last.layer != (hash{}) {
		err = count()
	}
	return out, err
}
