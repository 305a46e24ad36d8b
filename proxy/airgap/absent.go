package airgap

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/name"
)

// absent notes what there is not about the images of the file, so that it is known where no registry can be asked: who wrote
// the file asked for all of it. Files of others, and those that lack what could not be had, do not tell.
func (l *load) absent(ctx context.Context) error {
	if l.silent {
		return nil
	}
	for _, e := range l.entries {
		if e.tag == "" || e.tag.AboutImage() {
			continue
		}
		for _, d := range l.below(e.doc) {
			of := []digest.Digest{d}
			if source := l.sources[d]; source != nil {
				of = append(of, source.Digest)
			}
			for _, d := range of {
				if err := l.noteAbsent(ctx, e.repo, d); err != nil {
					return fmt.Errorf("noting what there is not about %s: %w", d, err)
				}
			}
		}
	}
	return nil
}

// noteAbsent notes of what tags about an image there are none: neither in the file, nor known.
func (l *load) noteAbsent(ctx context.Context, repo name.Repository, d digest.Digest) error {
	key := catalog.ContentKey{Repository: repo.String(), Digest: d}
	before, err := l.Records.Evidence.Get(ctx, key)
	if err != nil {
		return err
	}
	rec := catalog.Evidence{}
	if before != nil {
		rec = *before
		rec.Absent = slices.Clone(before.Absent)
	}
	for _, suffix := range cosignSuffixes {
		tag := name.TagAbout(d, suffix)
		known := slices.Contains(rec.Absent, suffix) || suffix == ".sig" && rec.Image != "" ||
			slices.ContainsFunc(l.entries, func(e placed) bool { return e.repo == repo && e.tag == tag })
		if known {
			continue
		}
		pulled, err := l.Records.Tags.Get(ctx, catalog.TagKey{Repository: repo.String(), Tag: string(tag)})
		if err != nil {
			return err
		}
		if pulled == nil {
			rec.Absent = append(rec.Absent, suffix)
		}
	}
	if before != nil && len(rec.Absent) == len(before.Absent) || len(rec.Absent) == 0 {
		return nil
	}
	slices.Sort(rec.Absent)
	rec.At = l.Now().UTC()
	return l.Records.Evidence.Put(ctx, key, &rec)
}
