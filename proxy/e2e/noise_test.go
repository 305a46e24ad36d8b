package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/strata-oci/strata/proxy/oneshot"
)

// TestNoiseIsKept rebuilds a real system of which nothing changed. A stock client fetches what differs in more than noise,
// and gets the source's filesystem with exactly the files replaced that strata verify tells.
func TestNoiseIsKept(t *testing.T) {
	t.Parallel()
	need(t, "skopeo")
	u, tags := corpus(t, "rpm")
	p := newProxy(t, u, proxyOptions{rule: "noise: keep"})
	dir := t.TempDir()
	var sizes [3]int64
	for i, tag := range tags {
		skopeo(t, p.image("os/image:"+tag), dir+":now")
		sizes[i] = layoutSize(t, dir)
	}
	if fetched := sizes[2] - sizes[1]; fetched > 100_000 {
		t.Errorf("the rebuild costs a client %d bytes", fetched)
	}
	source, served := u.host()+"/os/image:"+tags[2], p.image("os/image:"+tags[2])
	var v oneshot.Verification
	strata(t, &v, "verify", "--insecure", "docker://"+source, "docker://"+served)
	const database = "usr/lib/sysimage/rpm/rpmdb.sqlite"
	if !v.Same || len(v.Differences) > 0 || len(v.Noise) != 1 || v.Noise[0].Path != database {
		t.Errorf("%+v", v)
	}
	t.Run("tree", func(t *testing.T) {
		needRoot(t)
		want, got := unpack(t, source), unpack(t, served)
		before := unpack(t, p.image("os/image:"+tags[1]))
		theirs, now, first := contentOf(t, want, database), contentOf(t, got, database), contentOf(t, before, database)
		if slices.Equal(theirs, now) || !slices.Equal(now, first) {
			t.Error("the database is not the one that was served before")
		}
		if err := os.WriteFile(filepath.Join(want, database), now, 0o600); err != nil { // keeps its mode
			t.Fatal(err)
		}
		sameTree(t, want, got, sameness{anyLinks: true})
		packages := func(root string) string {
			return command(t, nil, "rpm", "--root", root, "--dbpath", "/usr/lib/sysimage/rpm", "-qa", "--qf",
				"%{NEVRA} %{SHA256HEADER}\n")
		}
		if need(t, "rpm"); packages(got) != packages(before) {
			t.Error("rpm sees other packages")
		}
	})
}

func contentOf(t *testing.T, root, p string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, p))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
