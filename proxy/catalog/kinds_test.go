package catalog_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/rechunk"
)

var (
	source = digest.FromString("source")
	image  = digest.FromString("image")
	config = digest.FromString("config")
	layer  = digest.FromString("layer")
)

// sample is a record as stores have it, and what it is to mean.
type sample struct {
	kind, key, json string
	leads           catalog.Leads
}

// sum is a digest as bytes.
func sum(d digest.Digest) []byte {
	b, _ := hex.DecodeString(d.Encoded())
	return b
}

// samples are of all kinds, at least one of each. Those of a store of today stay as they are: they must be read for ever.
func samples() []sample {
	version := fmt.Sprintf(`{"source_digest":%q,"digest":%q,"config":%q,"layers":[{"digest":%q}],"sequence":3}`, source,
		image, config, layer)
	inRepository := "ghcr.io/team/os@" + image.String()
	ofImage := catalog.Owner{Manifest: image}
	// ID, digest of config, and sizes 5 and 9.
	sizes := []byte{0, 0, 0, 5, 0, 0, 0, 9}
	chunkList := base64.StdEncoding.EncodeToString(slices.Concat(make([]byte, 32), sum(config), sizes))
	toChunk := []catalog.Target{{Digest: config, Use: catalog.ChunkOf}}
	return []sample{
		{"tag", "ghcr.io/team/os:stable", fmt.Sprintf(`{"source_digest":%q,"source_media_type":"x","digest":%q,"media_type":"x",
			"served":"rechunked","rule":"auto","checked_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`, source, image),
			catalog.Leads{To: []catalog.Target{{source, catalog.SourceLayer, true}, {image, catalog.ServedLayer, true}}}},
		{"tag", "localhost:5000/os:1", fmt.Sprintf(`{"source_digest":%q,"digest":%[1]q,"media_type":"x","served":"original"}`, source),
			catalog.Leads{To: []catalog.Target{{source, catalog.OriginalLayer, true}}}},
		{"manifest", image.String(), fmt.Sprintf(`{"media_type":"x","source_digest":%q,"served":"rechunked"}`, source),
			catalog.Leads{Owner: ofImage, To: []catalog.Target{{image, catalog.ServedLayer, true}}}},
		{"manifest", source.String(), fmt.Sprintf(`{"media_type":"x","source_digest":%q,"served":"original"}`, source),
			catalog.Leads{Owner: catalog.Owner{Manifest: source},
				To: []catalog.Target{{source, catalog.OriginalLayer, true}}}},
		{"repository", "ghcr.io/team/os", `{"since":"2026-01-02T03:04:05Z"}`, catalog.Leads{}},
		{"lineage", "ghcr.io/team/os linux/amd64", `{"versions":[` + version + `],"fence":7}`,
			catalog.Leads{To: []catalog.Target{
				{Digest: image, Use: catalog.Document}, {Digest: config, Use: catalog.Document},
				{Digest: layer, Use: catalog.ServedLayer}}}},
		{"history", "ghcr.io/team/os linux/amd64", `{"format":1,"steps":0,"components":[],"files":""}`, catalog.Leads{}},
		{"served", "ghcr.io/team/os " + source.String() + " 0011223344556677", version,
			catalog.Leads{Owner: ofImage, To: []catalog.Target{{image, catalog.ServedLayer, true}}}},
		{"plan", image.String(), fmt.Sprintf(`{"digest":%q}`, image), catalog.Leads{Owner: ofImage}},
		{"index", layer.String(), fmt.Sprintf(`{"digest":%q,"size":5}`, config),
			catalog.Leads{Owner: catalog.Owner{Layer: layer},
				To: []catalog.Target{{Digest: config, Use: catalog.LayerIndex}}}},
		{"pulls", image.String(), fmt.Sprintf(`{"last_pull":"2026-01-02T03:04:05Z","layers":{%q:3}}`, layer),
			catalog.Leads{Owner: ofImage}},
		{"proof", inRepository, fmt.Sprintf(`{"at":"2026-01-02T03:04:05Z","blobs":[%q]}`, layer),
			catalog.Leads{Owner: ofImage}},
		{"blob-proof", inRepository, `{"at":"2026-01-02T03:04:05Z"}`, catalog.Leads{Owner: catalog.Owner{Content: image}}},
		{"member", inRepository, `{}`, catalog.Leads{Owner: catalog.Owner{Content: image}}},
		{"attempt", "0011", fmt.Sprintf(`{"source_digest":%q,"started_at":"2026-01-02T03:04:05Z","tries":2}`, image),
			catalog.Leads{Owner: ofImage}},
		{"delta", image.String() + " " + layer.String() + " 65536-0011223344556677", fmt.Sprintf(`{"digest":%q,"size":9,
			"blob_size":99,"worth":65536,"allowed":["xz/5.4"],"needs":["xz/5.4"],"at":"2026-01-02T03:04:05Z"}`, config),
			catalog.Leads{Owner: catalog.Owner{Manifest: image, With: layer},
				To: []catalog.Target{{Digest: config, Use: catalog.DeltaOf}}}},
		{"delta", image.String() + " " + layer.String() + " 0-0011223344556677",
			`{"refused":"gain","message":"too large","at":"2026-01-02T03:04:05Z","until":"2026-01-03T03:04:05Z"}`,
			catalog.Leads{Owner: catalog.Owner{Manifest: image, With: layer}}},
		{"layer-chunks", layer.String() + " 16:64:256 0", fmt.Sprintf(`{"chunks":%q,"parts":1,"diff_id":%q,"tar_size":7,
			"at":"2026-01-02T03:04:05Z"}`, chunkList, source),
			catalog.Leads{Owner: catalog.Owner{Layer: layer}, To: toChunk}},
		{"chunk-index", inRepository + " 16:64:256", fmt.Sprintf(`{"runs":[{"own":%q,"layer":%q,"from":1,"to":3},{}],
			"at":"2026-01-02T03:04:05Z"}`, chunkList, layer), catalog.Leads{Owner: ofImage, To: toChunk}},
		{"delta-demand", "ghcr.io/team/os", `{"asked":[{"worth":65536,"encoders":["xz/5.4"],"at":"2026-01-02T03:04:05Z"}]}`,
			catalog.Leads{}},
		{"edge-images", "ghcr.io/team/os", fmt.Sprintf(`{"images":[{"manifest":%q,"at":"2026-01-02T03:04:05Z"}]}`, image),
			catalog.Leads{}},
		{"trials", layer.String(), fmt.Sprintf(`{"encoders":[{"program":"xz","version":"5.4","args":["-T2"]}],
			"programs":[["xz/5.4"]],"tried":{%q:[0,0],%q:[-1,0]}}`, source.Encoded(), config.Encoded()),
			catalog.Leads{Owner: catalog.Owner{Layer: layer}}},
		{"verdict", inRepository, `{"policy":"00","passed":true,"by":"SHA256:00","checked_at":"2026-01-02T03:04:05Z"}`,
			catalog.Leads{Owner: catalog.Owner{Source: image}}},
		{"evidence", inRepository, `{"at":"2026-01-02T03:04:05Z","absent":[".sig",""]}`,
			catalog.Leads{Owner: catalog.Owner{Source: image}}},
		{"evidence", inRepository, fmt.Sprintf(`{"at":"2026-01-02T03:04:05Z","image":%q,"referrers":%q,"bundles":[%q],
			"pack":%q,"documents":[{"digest":%[1]q,"offset":0,"size":9},{"digest":%[2]q,"offset":9,"size":5}]}`, config,
			layer, image, source),
			catalog.Leads{Owner: catalog.Owner{Source: image},
				To: []catalog.Target{{Digest: source, Use: catalog.Document}}}},
		{"refusal", "ghcr.io/team/os:stable", fmt.Sprintf(`{"source_digest":%q,"policy":"00","reason":"no signature",
			"since":"2026-01-02T03:04:05Z","checked_at":"2026-01-02T03:04:05Z"}`, source), catalog.Leads{}},
		{"admitted", inRepository, `{"policy":"00","at":"2026-01-02T03:04:05Z"}`, catalog.Leads{Owner: ofImage}},
		{"signature", inRepository, fmt.Sprintf(`{"maker":"00","image":%q,"referrers":[{"digest":%q}],"pack":%q,
			"documents":[{"digest":%[1]q,"offset":0,"size":9},{"digest":%[2]q,"offset":9,"size":5}]}`, config, layer, source),
			catalog.Leads{Owner: ofImage, To: []catalog.Target{{Digest: source, Use: catalog.Document}}}},
		{"artifact", image.String() + " " + source.String() + " tar-diff-1", fmt.Sprintf(`{"digest":%q,"size":9,
			"artifact_type":"x","repository":"ghcr.io/team/os","at":"2026-01-02T03:04:05Z","costs":{"layer_bytes":7}}`, config),
			catalog.Leads{Owner: ofImage, To: []catalog.Target{{Digest: config, Use: catalog.DeltaOf, Image: true}}}},
		{"rollout", "ghcr.io/team/os:stable", fmt.Sprintf(`{"versions":[{"source_digest":%q,"digest":%q,"media_type":"x",
			"served":"rechunked","made_at":"2026-01-02T03:04:05Z","share":1},{"source_digest":%q,"digest":%[3]q,"media_type":"x",
			"served":"original","made_at":"2026-01-03T03:04:05Z","share":0.05,"first":["10.0.0.0/8"]}],
			"held":{"by":"alice","at":"2026-01-03T03:04:05Z"}}`, source, image, config),
			catalog.Leads{To: []catalog.Target{{image, catalog.ServedLayer, true}, {config, catalog.OriginalLayer, true}}}},
		// What was withdrawn is remembered, and its image stays by the rules of its lineage alone.
		{"rollout", "ghcr.io/team/os:stable", fmt.Sprintf(`{"versions":[{"source_digest":%q,"digest":%q,"media_type":"x",
			"served":"rechunked","made_at":"2026-01-02T03:04:05Z","share":1},{"source_digest":%q,"digest":%[3]q,"media_type":"x",
			"served":"original","made_at":"2026-01-03T03:04:05Z","share":0.05,"counted":true,
			"withdrawn":{"by":"alice","at":"2026-01-03T03:04:05Z"}}]}`, source, image, config),
			catalog.Leads{To: []catalog.Target{{image, catalog.ServedLayer, true}}}},
		{"rollout-reached", "ghcr.io/team/os:stable " + source.String() + " 00", `{"hosts":"AAAAAAAAAAEAAAAAAAAAAg=="}`,
			catalog.Leads{Owner: catalog.Owner{Source: source}}},
		{"tag", "ghcr.io/team/os:stable", fmt.Sprintf(`{"source_digest":%q,"digest":%q,"media_type":"x","served":"rechunked",
			"staged":true,"stable":{"source_digest":%q,"digest":%[3]q,"media_type":"x","served":"original","share":1}}`, source,
			image, config),
			catalog.Leads{To: []catalog.Target{{source, catalog.SourceLayer, true}, {image, catalog.ServedLayer, true},
				{config, catalog.OriginalLayer, true}}}},
		{"fleet", "0f", fmt.Sprintf(`{"hosts":[{"id":"1080863910568919041","client":"bootc/1.1.4","pulls":[
			{"tag":"ghcr.io/team/os:stable","digest":%q,"since":1767323045,"at":1767323045}]}]}`, image), catalog.Leads{}},
		{"fleet", "secret", `{"secret":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}`, catalog.Leads{}},
		{"fleet-tag", "ghcr.io/team/os:stable", fmt.Sprintf(`{"versions":[{"digest":%q,"version":"41.1",
			"since":"2026-01-02T03:04:05Z"}]}`, image), catalog.Leads{}},
		{"savings", "ghcr.io/team/os", `{"days":[{"day":"2026-01-02","sent_bytes":2,"source_bytes":1,"pulls":0.5}]}`,
			catalog.Leads{}},
		{"upkeep", "usage", `{"bytes":1,"at":"2026-01-02T03:04:05Z"}`, catalog.Leads{}},
	}
}

func kinds(t testing.TB) map[string]catalog.Kind {
	t.Helper()
	out := map[string]catalog.Kind{}
	for _, k := range catalog.Kinds() {
		if _, double := out[k.Name]; double {
			t.Errorf("kind %s is listed twice", k.Name)
		}
		out[k.Name] = k
	}
	return out
}

// Every kind has a sample, which means what it always did, and can be told from a newer one.
func TestSamples(t *testing.T) {
	t.Parallel()
	missing := kinds(t)
	for _, s := range samples() {
		kind, ok := kinds(t)[s.kind]
		if !ok {
			t.Errorf("kind %s is not listed", s.kind)
			continue
		}
		delete(missing, s.kind)
		v, leads, err := kind.Parse(s.key, []byte(s.json))
		if diff := cmp.Diff(s.leads, leads); diff != "" || err != nil || v == nil {
			t.Errorf("%s %s: %v, %s", s.kind, s.key, err, diff)
		}
		newer := strings.Replace(s.json, "{", `{"schema": 2, `, 1)
		if s.json == `{}` {
			newer = `{"schema": 2}`
		}
		if _, _, err := kind.Parse(s.key, []byte(newer)); !errors.Is(err, catalog.ErrNewer) || !catalog.Damaged(err) {
			t.Errorf("%s of a newer schema: %v", s.kind, err)
		}
		for _, garbage := range []string{"", "garbage", "{", "[[]]"} {
			if _, _, err := kind.Parse(s.key, []byte(garbage)); garbage != "[[]]" && !errors.Is(err, catalog.ErrDamaged) {
				t.Errorf("%s that says %q: %v", s.kind, garbage, err)
			}
		}
	}
	for name := range missing {
		t.Errorf("kind %s has no sample", name)
	}
}

// Every kind that this build writes has a table, but for those in which upkeep takes its notes.
func TestTables(t *testing.T) {
	t.Parallel()
	records := reflect.TypeFor[catalog.Records]()
	want := -1
	for _, kind := range catalog.Kinds() {
		if !kind.Retired {
			want++
		}
	}
	if n := records.NumField(); n != want {
		t.Errorf("%d tables, %d kinds", n, want)
	}
}

// Tables write what they read, under the keys that stores have.
func TestTablesReadSamples(t *testing.T) {
	t.Parallel()
	store := open(t, inmemory.New())
	r := catalog.New(store, nil)
	for _, s := range samples() {
		if err := store.PutRecord(t.Context(), s.kind, s.key, []byte(s.json)); err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	lineage, err := r.Lineages.Get(ctx, catalog.LineageKey{Lineage: "ghcr.io/team/os", Platform: "linux/amd64"})
	if err != nil || lineage == nil || lineage.Fence != 7 || lineage.Versions[0].Digest != image {
		t.Errorf("%+v, %v", lineage, err)
	}
	proof, err := r.Proofs.Get(ctx, catalog.ContentKey{Repository: "ghcr.io/team/os", Digest: image})
	if err != nil || proof == nil || !slices.Equal(proof.Blobs, []digest.Digest{layer}) {
		t.Errorf("%+v, %v", proof, err)
	}
	var proofs []catalog.ContentKey
	err = r.Proofs.List(ctx, catalog.ContentOf("ghcr.io/team/os"), func(k catalog.ContentKey, _ time.Time) error {
		proofs = append(proofs, k)
		return nil
	})
	if err != nil || len(proofs) != 1 || proofs[0].Digest != image {
		t.Errorf("%v, %v", proofs, err)
	}
	if err := r.Proofs.Delete(ctx, proofs[0]); err != nil {
		t.Fatal(err)
	}
	if proof, err := r.Proofs.Get(ctx, proofs[0]); proof != nil || err != nil {
		t.Errorf("%+v, %v", proof, err)
	}
	plan, err := r.Plans.Get(ctx, image)
	if err != nil || cmp.Diff(plan, &rechunk.PlanRecord{Digest: image}) != "" {
		t.Errorf("%+v, %v", plan, err)
	}
	if err := catalog.CheckKinds(ctx, store); err != nil {
		t.Error(err)
	}
	if err := store.PutRecord(ctx, "from-the-future", "x", nil); err != nil {
		t.Fatal(err)
	}
	if err := catalog.CheckKinds(ctx, store); !errors.Is(err, catalog.ErrUnknownKind) ||
		!strings.Contains(err.Error(), "from-the-future") {
		t.Errorf("%v", err)
	}
}

// A record is hostile once its file was changed: whatever it says, reading ends with a value or with one of two errors, and
// names the digests that it leads to at most once for each that it holds.
func FuzzRecords(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.kind, s.key, []byte(s.json))
	}
	all := kinds(f)
	f.Fuzz(func(t *testing.T, kind, key string, b []byte) {
		k, ok := all[kind]
		if !ok {
			return
		}
		v, leads, err := k.Parse(key, b)
		if err != nil {
			if !errors.Is(err, catalog.ErrDamaged) && !errors.Is(err, catalog.ErrNewer) || v != nil {
				t.Errorf("%v, %v", v, err)
			}
			return
		}
		if len(leads.To) > len(b) {
			t.Errorf("%d bytes lead to %d targets", len(b), len(leads.To))
		}
		if again, err := json.Marshal(v); err != nil {
			t.Errorf("it can't be written again: %v", err)
		} else if _, _, err := k.Parse(key, again); err != nil {
			t.Errorf("written again as %s: %v", again, err)
		}
	})
}
