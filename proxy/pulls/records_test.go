package pulls_test

import (
	"fmt"
	"strings"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/distribution/distribution/v3/registry/storage/driver/inmemory"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
	"github.com/strata-oci/strata/proxy/pulls"
	"github.com/strata-oci/strata/proxy/pulls/pullstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openStore(t *testing.T, driver storagedriver.StorageDriver) *chunkstore.Store {
	t.Helper()
	s, err := chunkstore.New(driver, chunkstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRecorded(t *testing.T) {
	t.Parallel()
	pullstest.Run(t, func(t *testing.T) func() pulls.Counters {
		driver := inmemory.New()
		return func() pulls.Counters { return pulls.NewRecorded(catalog.New(openStore(t, driver), nil).Pulls) }
	})
}

// A record may hold anything.
func TestRecordDamaged(t *testing.T) {
	t.Parallel()
	s := openStore(t, inmemory.New())
	r := pulls.NewRecorded(catalog.New(s, nil).Pulls)
	m, l := digest.FromString("image"), digest.FromString("layer")
	var many strings.Builder
	for i := range 1100 {
		fmt.Fprintf(&many, `%q: 1,`, digest.FromString(fmt.Sprint(i)))
	}
	for _, record := range []string{
		"", "{", "[]", `{"layers": 7}`, `{"last_pull": "yesterday"}`, `{"layers": {"x": 1}}`,
		fmt.Sprintf(`{"layers": {%q: -4}}`, l),
		`{"layers": {` + strings.TrimSuffix(many.String(), ",") + `}}`,
	} {
		if err := s.PutRecord(t.Context(), "pulls", m.String(), []byte(record)); err != nil {
			t.Fatal(err)
		}
		got, err := r.Get(t.Context(), m)
		if err != nil || len(got.Layers) > 0 || !got.Last.IsZero() {
			t.Errorf("%.30s: %+v, %v", record, got, err)
		}
		if err := r.Add(t.Context(), m, pulls.Counts{Layers: map[digest.Digest]int64{l: 1}}); err != nil {
			t.Errorf("%.30s: %v", record, err)
		}
		got, err = r.Get(t.Context(), m)
		if diff := cmp.Diff(pulls.Counts{Layers: map[digest.Digest]int64{l: 1}}, got); diff != "" || err != nil {
			t.Errorf("%.30s: %v\n%s", record, err, diff)
		}
	}
}
