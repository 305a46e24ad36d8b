package rechunk_test

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/strata-oci/strata/rechunk/image"
	"github.com/strata-oci/strata/rechunk/rechunktest"
	. "github.com/strata-oci/strata/rechunk/tree/treetest"
)

// Users of hhd-dev/rechunk find a plan in an image in ostree's form as they left one: the label lists the layers that it
// has.
func TestHHDPlan(t *testing.T) {
	t.Parallel()
	const packages = 12
	noise := rand.NewChaCha8([32]byte{1})
	items := []Item{Dir("."), Dir("sysroot"), Dir("usr"), Dir("usr/bin"), Dir("var"), Dir("var/lib"), Dir("var/lib/dpkg"),
		Dir("var/lib/dpkg/info")}
	status := ""
	for n := range packages {
		body := make([]byte, 60<<10)
		_, _ = noise.Read(body)
		name := fmt.Sprintf("p%02d", n)
		status += "Package: " + name + "\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
		items = append(items, File("usr/bin/"+name, hex.EncodeToString(body)),
			File("var/lib/dpkg/info/"+name+".list", "/usr/bin/"+name+"\n"))
	}
	items = append(items, File("var/lib/dpkg/status", status))
	var theirs [2][]string
	for n := range packages {
		theirs[n%2] = append(theirs[n%2], fmt.Sprintf("p%02d", n))
	}
	quoted := func(names []string) string { return `["` + strings.Join(names, `","`) + `"]` }
	label := `{"version":2,"uniq":"u","packages":{"p00":"1"},"layers":[` + quoted(theirs[0]) + "," + quoted(theirs[1]) + "]}"
	o := encapsulated()
	_, s := newBench(t, &rechunktest.MemoryStore{}, 2).serve(t, rechunktest.NewImage(t, rechunktest.ImageOptions{
		Labels: map[string]string{"containers.bootc": "1", image.LabelHHD: label}}, items), o)
	got := s.Config.Config.Labels[image.LabelHHD]
	h, err := image.ParseHHD(got)
	if err != nil || h == nil || !strings.Contains(got, `"uniq":"u"`) {
		t.Fatalf("%q: %v", got, err)
	}
	var all []string
	for _, names := range h.Layers {
		all = append(all, names...)
	}
	if slices.Sort(all); len(all) != packages || len(slices.Compact(all)) != packages {
		t.Errorf("the label has the packages %v", all)
	}
	if _, there := s.Manifest.Annotations[image.LabelHHD]; there {
		t.Error("the label is an annotation, too")
	}
	// A plain image has the label as the source has it; a damaged one is left alone.
	for _, label := range []string{label, "{"} {
		_, s = newBench(t, &rechunktest.MemoryStore{}, 2).serve(t, rechunktest.NewImage(t, rechunktest.ImageOptions{
			Labels: map[string]string{"containers.bootc": "1", image.LabelHHD: label}}, items), rules)
		if got := s.Config.Config.Labels[image.LabelHHD]; got != label {
			t.Errorf("%q, the source has %q", got, label)
		}
	}
}
