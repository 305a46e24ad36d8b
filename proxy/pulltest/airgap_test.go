package pulltest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/proxy/airgap"
	"github.com/strata-oci/strata/proxy/airgap/gate"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/oneshot"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/registry"
	"github.com/strata-oci/strata/proxy/state"
	"github.com/strata-oci/strata/proxy/trust/bundle"
	"github.com/strata-oci/strata/proxy/trust/simplesigning"
	"github.com/strata-oci/strata/rechunk"
)

// carrier makes files and reads them.
func carrier(t *testing.T) *oneshot.Inspector {
	t.Helper()
	i, err := oneshot.NewInspector(t.Context(), oneshot.Options{TempDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// exports writes what a proxy serves under a tag to a file, with a proof of its source.
func (h *harness) exports(t *testing.T, tag string) (string, *airgap.Report) {
	t.Helper()
	base, _ := h.serve(t)
	file := filepath.Join(t.TempDir(), "image.tar")
	report, err := airgap.Export(t.Context(), strings.TrimPrefix(base, "http://")+"/"+testRepo.String()+":"+tag, file,
		airgap.ExportOptions{Deltas: carrier(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range report.Origins {
		if o.Unproven != "" {
			t.Errorf("%s: %s", o.Digest, o.Unproven)
		}
	}
	return file, report
}

// imports puts a file into the store of a proxy that runs, as another process does.
func (h *harness) imports(t *testing.T, file string, change ...func(*gate.Options)) error {
	t.Helper()
	_, err := h.importing(t, file, change...)
	return err
}

// importing is imports with what is reported.
func (h *harness) importing(t *testing.T, file string, change ...func(*gate.Options)) (*airgap.Report, error) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	records, kept := catalog.New(h.chunks, log), state.New(h.chunks, log, nil)
	o := gate.Options{Chunks: h.chunks, Records: records, Rule: h.ruleOf, Logger: log, Now: h.clock.now,
		Engine: rechunk.New(rechunk.Config{Store: kept, Records: kept, WorkDir: t.TempDir()})}
	for _, c := range change {
		c(&o)
	}
	g, err := gate.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	report, err := airgap.Import(t.Context(), file, airgap.ImportOptions{Chunks: h.chunks, Records: records, Gate: g,
		Deltas: carrier(t), TempDir: t.TempDir(), Now: h.clock.now})
	return report, errors.Join(err, g.Close(context.Background()))
}

func force(o *gate.Options) { o.Force = true }

// tag reads a tag's record.
func (h *harness) record(t *testing.T, tag string) *catalog.Tag {
	t.Helper()
	rec, err := h.Records.Tags.Get(t.Context(), catalog.TagKey{Repository: testRepo.String(), Tag: tag})
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

// sameUpstream has a proxy ask the upstream of another one, which is out of reach at first.
func sameUpstream(of *harness) func(*harness) {
	return func(h *harness) { h.up = of.up }
}

// An image that was imported stays the one that is served when its upstream is back, also where its verdict has to be found
// again or is lost, or keys have changed; and what the upstream has later is laid out after it.
func TestImportedStays(t *testing.T) {
	t.Parallel()
	s, next := newSigner(t), newSigner(t)
	for what, later := range map[string]func(h *harness, of ...digest.Digest){
		"nothing happens": func(*harness, ...digest.Digest) {},
		"the verdicts are lost": func(h *harness, of ...digest.Digest) {
			for _, d := range of {
				if err := h.Records.Verdicts.Delete(t.Context(), verdictKey(d)); err != nil {
					t.Error(err)
				}
			}
			rec := h.record(t, "stable")
			rec.Policy = ""
			if err := h.Records.Tags.Put(t.Context(), catalog.TagKey{Repository: testRepo.String(), Tag: "stable"},
				rec); err != nil {
				t.Error(err)
			}
		},
		"another key is added": func(h *harness,
			_ ...digest.Digest) {
			h.rule.Verify.Keys = append(h.rule.Verify.Keys, next.file)
		},
		"the key is another": func(h *harness, of ...digest.Digest) {
			h.rule.Verify.Keys = []string{next.file}
			next.sign(t, h.up, of[0])
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			central := newHarness(t, verifying(s.file))
			amd, arm := bootable(t, "amd").push(t, central.up), bootable(t, "arm").with(arch("arm64")).push(t, central.up)
			src := pushIndex(t, central.up, ocispec.MediaTypeImageIndex,
				[]any{central.up.member(amd, "linux/amd64"), central.up.member(arm, "linux/arm64")})
			s.bundled(t, central.up, src, src, bundle.Signed)
			central.up.tag("stable", src)
			served := central.pull("stable", registry.Rechunked)
			file, _ := central.exports(t, "stable")

			h := newHarness(t, verifying(s.file), sameUpstream(central))
			h.up.failWith("", http.StatusServiceUnavailable)
			if err := h.imports(t, file); err != nil {
				t.Fatal(err)
			}
			h.refresh()
			if m := h.pull("stable", registry.Stale); m.Digest != served.Digest {
				t.Fatalf("%s is served, not what was imported", m.Digest)
			}
			h.up.fail(nil)
			later(h, src, amd, arm)
			for range 2 {
				h.clock.advance(time.Hour)
				if m := h.pull("stable", registry.Rechunked); m.Digest != served.Digest || m.Source != src {
					t.Errorf("%s of %s is served, not what was imported", m.Digest, m.Source)
				}
				h.restart()
			}
			if h.failures.Load() == 0 {
				t.Error("the upstream was never out of reach")
			}

			second := bootable(t, "amd more").push(t, h.up)
			p := payload(t, testRepo.String(), second)
			h.up.attach(t, second, s.signed(t, p), next.signed(t, p))
			h.up.tag("stable", second)
			h.clock.advance(time.Hour)
			m := h.pull("stable", registry.Rechunked)
			plan, err := h.Records.Plans.Get(t.Context(), m.Digest)
			if err != nil || plan == nil || plan.Base == "" {
				t.Errorf("it is laid out after nothing: %+v, %v", plan, err)
			}
		})
	}
}

// A file does not replace a good tag by what is not signed as its repository's rule asks, nor take it back to an earlier
// image, unless it is forced; what it brings by force is not shown before it is signed.
func TestImportNeedsSignatures(t *testing.T) {
	t.Parallel()
	s, other := newSigner(t), newSigner(t)
	fileOf := func(t *testing.T, content string, sign func(u *fakeUpstream, d digest.Digest)) string {
		t.Helper()
		elsewhere := newHarness(t)
		d := bootable(t, content).push(t, elsewhere.up)
		sign(elsewhere.up, d)
		elsewhere.up.tag("stable", d)
		elsewhere.pull("stable", registry.Rechunked)
		file, _ := elsewhere.exports(t, "stable")
		return file
	}
	good := func(u *fakeUpstream, d digest.Digest) { s.sign(t, u, d) }
	for what, c := range map[string]struct {
		sign func(u *fakeUpstream, d digest.Digest)
		want string
	}{
		"none":        {func(*fakeUpstream, digest.Digest) {}, "there is no tag"},
		"another key": {func(u *fakeUpstream, d digest.Digest) { other.sign(t, u, d) }, "another key"},
		"another image": {func(u *fakeUpstream, d digest.Digest) {
			u.attach(t, d, s.signed(t, payload(t, testRepo.String(), digest.FromString("x"))))
		}, "another image"},
		"another tag": {func(u *fakeUpstream, d digest.Digest) {
			u.attach(t, d, s.signed(t, payload(t, testRepo.String()+":beta", d)))
		}, "another tag"},
		"bundle by another key": {func(u *fakeUpstream, d digest.Digest) { other.bundled(t, u, d, d, bundle.Signed) },
			"another key"},
		"attestation": {func(u *fakeUpstream, d digest.Digest) { s.bundled(t, u, d, d, bundle.Provenance) },
			"attestation"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHarness(t, verifying(s.file))
			if err := h.imports(t, fileOf(t, "one", good)); err != nil {
				t.Fatal(err)
			}
			h.up.failWith("", http.StatusServiceUnavailable)
			before, bad := h.record(t, "stable"), fileOf(t, "two", c.sign)
			err := h.imports(t, bad)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), s.Public().ID()) ||
				!strings.Contains(err.Error(), "--force") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v; want %q and the key's name", err, c.want)
			}
			if now := h.record(t, "stable"); now.Digest != before.Digest || now.Policy != before.Policy {
				t.Errorf("the tag moved: %+v", now)
			}
			h.refresh()
			h.pull("stable", registry.Stale)
			if err := h.imports(t, bad, force); err != nil {
				t.Fatal(err)
			}
			h.refresh()
			if e := h.pullError("stable"); e.Status != http.StatusForbidden && e.Status != http.StatusServiceUnavailable {
				t.Errorf("what was forced in is shown: %v", e)
			}
			now := h.record(t, "stable")
			if len(now.Seen) != 1 || now.Seen[0] != before.SourceDigest || now.Policy != "" {
				t.Errorf("its memory is %+v", now)
			}
		})
	}
	t.Run("a bad signature of a good image", func(t *testing.T) {
		t.Parallel()
		h := newHarness(t, verifying(s.file))
		if err := h.imports(t, fileOf(t, "one", good)); err != nil {
			t.Fatal(err)
		}
		source := h.record(t, "stable").SourceDigest
		signature := h.record(t, simplesigning.Tag(source))
		bad := fileOf(t, "one", func(u *fakeUpstream, d digest.Digest) { other.sign(t, u, d) })
		if err := h.imports(t, bad); err == nil {
			t.Error("it was imported")
		}
		if now := h.record(t, simplesigning.Tag(source)); now.Digest != signature.Digest {
			t.Error("the good signature was replaced")
		}
	})
	t.Run("an earlier image", func(t *testing.T) {
		t.Parallel()
		h := newHarness(t, verifying(s.file))
		files := []string{fileOf(t, "one", good), fileOf(t, "two", good), fileOf(t, "three", good)}
		var sources []digest.Digest
		for _, file := range files {
			if err := h.imports(t, file); err != nil {
				t.Fatal(err)
			}
			sources = append(sources, h.record(t, "stable").SourceDigest)
		}
		if err := h.imports(t, files[2]); err != nil {
			t.Errorf("the same again: %v", err)
		}
		err := h.imports(t, files[0])
		if err == nil || !strings.Contains(err.Error(), "an earlier image") || strings.Contains(err.Error(), "\n") ||
			strings.Contains(err.Error(), "strata release") { // which helps upstreams' tags
			t.Error(err)
		}
		if now := h.record(t, "stable"); now.SourceDigest != sources[2] || len(now.Seen) != 2 {
			t.Errorf("%+v", now)
		}
		if err := h.imports(t, files[0], force); err != nil {
			t.Fatal(err)
		}
		// As after a release: what came since is newer, and no way back.
		if now := h.record(t, "stable"); now.SourceDigest != sources[0] || len(now.Seen) != 0 || len(now.Newer) != 2 {
			t.Errorf("%+v", now)
		}
		for _, file := range files[1:] {
			if err := h.imports(t, file); err != nil {
				t.Error(err)
			}
		}
	})
}

// An import beside an update that is under way loses nothing of what the tag stood for: the update, which ends later,
// follows what was imported, and does not go back behind it.
func TestImportBesideAnUpdate(t *testing.T) {
	t.Parallel()
	s := newSigner(t)
	for what, back := range map[string]bool{"to a new image": false, "to an earlier one": true} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			elsewhere := newHarness(t)
			brought := bootable(t, "brought").push(t, elsewhere.up)
			s.sign(t, elsewhere.up, brought)
			elsewhere.up.tag("stable", brought)
			elsewhere.pull("stable", registry.Rechunked)
			file, _ := elsewhere.exports(t, "stable")

			h := newHarness(t, verifying(s.file), func(h *harness) { h.rule.Rechunk = config.RechunkNever })
			first := bootable(t, "first").push(t, h.up)
			next := bootable(t, "next").push(t, h.up)
			if back { // by another file, which the update does not know of, either
				next = brought
				bootable(t, "brought").push(t, h.up)
			}
			for _, d := range []digest.Digest{first, next} {
				s.sign(t, h.up, d)
			}
			h.up.tag("stable", first)
			h.pull("stable", registry.Original)

			asked, gate := make(chan struct{}, 10), make(chan struct{})
			h.up.fail(func(_ http.ResponseWriter, r *http.Request) bool {
				if strings.HasSuffix(r.URL.Path, "/manifests/"+next.String()) {
					asked <- struct{}{}
					<-gate
				}
				return false
			})
			h.up.tag("stable", next)
			h.refresh()
			done := make(chan error, 1)
			go func() {
				_, err := h.Images.Manifest(t.Context(), testRepo, "stable")
				done <- err
			}()
			<-asked
			if err := h.imports(t, file); err != nil {
				t.Fatal(err)
			}
			if back { // and another that leads away from it
				other := newHarness(t)
				d := bootable(t, "other").push(t, other.up)
				s.sign(t, other.up, d)
				other.up.tag("stable", d)
				other.pull("stable", registry.Rechunked)
				away, _ := other.exports(t, "stable")
				if err := h.imports(t, away); err != nil {
					t.Fatal(err)
				}
			}
			before := h.record(t, "stable")
			close(gate)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			for range 500 { // until the update has ended
				if oldest, _ := h.Work.Activity(); oldest.IsZero() {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
			now := h.record(t, "stable")
			if back {
				if now.SourceDigest != before.SourceDigest {
					t.Errorf("the tag went back to %s", now.SourceDigest)
				}
				return
			}
			if now.SourceDigest != next || len(now.Seen) != 2 || now.Seen[0] != first || now.Seen[1] != before.SourceDigest {
				t.Errorf("%+v; want %s after %s after %s", now, next, before.SourceDigest, first)
			}
		})
	}
}

// Of what was forced in, clients and operators are told that no signature fits, also where the registry never answers.
func TestForcedInIsRefused(t *testing.T) {
	t.Parallel()
	s, other := newSigner(t), newSigner(t)
	for what, sign := range map[string]func(u *fakeUpstream, d digest.Digest){
		"none":        func(*fakeUpstream, digest.Digest) {},
		"another key": func(u *fakeUpstream, d digest.Digest) { other.sign(t, u, d) },
		"another name": func(u *fakeUpstream, d digest.Digest) {
			u.attach(t, d, s.signed(t, payload(t, "registry.test/org/other", d)))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			elsewhere := newHarness(t)
			d := bootable(t, "one").push(t, elsewhere.up)
			sign(elsewhere.up, d)
			elsewhere.up.tag("stable", d)
			elsewhere.pull("stable", registry.Rechunked)
			file, _ := elsewhere.exports(t, "stable")
			h := newHarness(t, verifying(s.file))
			h.up.failWith("", http.StatusServiceUnavailable)
			if err := h.imports(t, file, force); err != nil {
				t.Fatal(err)
			}
			rec := h.record(t, "stable")
			for range 2 { // at once, and after the pause before it is checked again
				for _, ref := range []string{"stable", rec.SourceDigest.String(), rec.Digest.String()} {
					e := h.pullError(ref)
					if e.Status != http.StatusForbidden || !strings.Contains(e.Message, s.Public().ID()) {
						t.Errorf("%s: %v", ref, e)
					}
				}
				h.refresh()
				h.clock.advance(time.Hour)
			}
			report, err := h.View.Repository(t.Context(), testRepo.String())
			if err != nil {
				t.Fatal(err)
			}
			for _, tag := range report.Tags {
				if tag.Tag == "stable" &&
					(tag.Served != operate.Refused || !strings.Contains(tag.Refused, s.Public().ID())) {
					t.Errorf("status says %+v", tag)
				}
			}
			// Once it comes with a good signature, it is shown.
			s.sign(t, elsewhere.up, d)
			elsewhere.clock.advance(time.Hour)
			elsewhere.restart()
			file, _ = elsewhere.exports(t, "stable")
			if err := h.imports(t, file); err != nil {
				t.Fatal(err)
			}
			h.refresh()
			h.pull("stable", registry.Stale)
		})
	}
}
