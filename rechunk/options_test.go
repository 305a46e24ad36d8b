package rechunk

import (
	"reflect"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/rechunk/layer"
)

// Records and jobs are found by their options: no field can be left out of the fingerprint, and only those named here do not
// decide the bytes of the result.
func TestFingerprintKnowsEveryField(t *testing.T) {
	t.Parallel()
	bookkeeping := map[string]bool{"Platforms": true, "Versions": true}
	var zero Options
	fields := reflect.TypeFor[Options]()
	for i := range fields.NumField() {
		name := fields.Field(i).Name
		changed := zero
		change(t, name, reflect.ValueOf(&changed).Elem().Field(i))
		if changed.Fingerprint() == zero.Fingerprint() {
			t.Errorf("%s is not in the fingerprint", name)
		}
		if same := changed.resultFingerprint() == zero.resultFingerprint(); same != bookkeeping[name] {
			t.Errorf("%s: the same key of served records: %t", name, same)
		}
	}
}

// change gives a field another value.
func change(t *testing.T, name string, v reflect.Value) {
	t.Helper()
	switch f := v.Addr().Interface().(type) {
	case *bool:
		*f = true
	case *int:
		*f = 1
	case *int64:
		*f = 1
	case *float64:
		*f = 0.5
	case *[]string:
		*f = []string{"linux/amd64"}
	case *layer.Format:
		*f = layer.Zstd
	default:
		t.Fatalf("%s is of type %s, which this test does not know how to change", name, v.Type())
	}
}

// Values cannot run into each other.
func TestFingerprintTellsListsApart(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range [][]string{nil, {""}, {"a b"}, {"a", "b"}, {"a", "b", ""}, {`a" "b`}} {
		f := Options{Platforms: p}.Fingerprint()
		if seen[f] {
			t.Errorf("%q has another's fingerprint", p)
		}
		seen[f] = true
	}
}

// The records of stores that are in use are found: their keys are as they were first written.
func TestServedKeysStay(t *testing.T) {
	t.Parallel()
	d := digest.FromString("x")
	for key, o := range map[string]Options{
		"0f20c315b5093038": {MaxLayers: 64, MaxStale: 0.2, Format: layer.Zstd, Versions: 10,
			Platforms: []string{"linux/amd64"}},
		"a9bfe8254537401e": {Always: true, MaxLayers: 120, MaxStale: 0.05, Format: layer.Gzip, ExactTime: true,
			OwnLinks: true},
		"11920285edb1a8dc": {OwnLinks: true, Format: layer.Zstd},
	} {
		if got, want := servedKey(Request{Lineage: "host/a", Digest: d, Options: o}),
			"host/a "+d.String()+" "+key; got != want {
			t.Errorf("%+v: %q, want %q", o, got, want)
		}
	}
}
