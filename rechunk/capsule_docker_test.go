package rechunk_test

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Whether a source is described by OCI's documents or by Docker's, whose labels are in the config alone, changes
// nothing of the commit that hosts get, of a plain source or of an encapsulated one. What is served says what it is in
// both places where clients look: the config's labels and the manifest's annotations.
func TestOSTreeFormOfDocker(t *testing.T) {
	t.Parallel()
	s := &bootableSeries{random: NewRandom(41), rng: rand.New(rand.NewPCG(41, 1))}
	items := s.next(t)
	commits := map[string]string{}
	for name, o := range map[string]rechunktest.ImageOptions{"OCI": {}, "Docker": {Docker: true}} {
		hosts, b := newImporter(t), newBench(t, &rechunktest.MemoryStore{}, 2)
		v, first := b.serve(t, rechunktest.NewImage(t, o, items), encapsulated())
		labels := first.Config.Config.Labels
		commit := labels["ostree.commit"]
		commits[commit] = name
		for _, label := range []string{"containers.bootc", "ostree.bootable", "ostree.commit", "ostree.final-diffid"} {
			if labels[label] == "" || first.Manifest.Annotations[label] != labels[label] {
				t.Errorf("%s: the label %s is %q, the annotation %q", name, label, labels[label],
					first.Manifest.Annotations[label])
			}
		}
		hosts.pull(b, v, commit)
		hosts.run("fsck")
		want := hosts.listing(commit)

		o.Labels, o.Annotations = labels, first.Manifest.Annotations
		again, once := newBench(t, &rechunktest.MemoryStore{}, 2), newImporter(t)
		v, second := again.serve(t, rechunktest.NewImage(t, o, first.Layers...), encapsulated())
		if got := second.Config.Config.Labels["ostree.commit"]; got != commit {
			t.Fatalf("%s: encapsulated again: commit %s, want %s", name, got, commit)
		}
		once.pull(again, v, commit)
		once.run("fsck")

		plainly := newBench(t, &rechunktest.MemoryStore{}, 2)
		v, _ = plainly.serve(t, rechunktest.NewImage(t, o, first.Layers...), rules)
		once.served(plainly, v)
		if diff := cmp.Diff(want, once.listing("merged")); diff != "" {
			t.Errorf("%s: the encapsulated source as a plain image (-commit +served):\n%s", name, diff)
		}
	}
	if len(commits) != 1 {
		t.Errorf("one tree, several commits: %v", commits)
	}
}
