package compare

import (
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// objectNames finds, for each object in a layer of ostree's form, the first of its names there: the file that the object's
// bytes are sent for.
func objectNames(x *tree.Index) map[string]string {
	objects := map[string]string{} // by hardlink group
	for i := range x.Entries {
		if e := &x.Entries[i]; e.Link != "" && strings.HasPrefix(e.Path, repository) && strings.HasSuffix(e.Path, ".file") {
			objects[e.Link] = e.Path
		}
	}
	out := make(map[string]string, len(objects))
	for i := range x.Entries {
		e := &x.Entries[i]
		if o := objects[e.Link]; o != "" && out[o] == "" && !tree.Within(e.Path, "sysroot") {
			out[o] = e.Path
		}
	}
	return out
}

// objectWeight is weight for the entries of a layer of ostree's form: an object's bytes are those of its first name, and
// the repository weighs nothing.
func objectWeight(x *tree.Index) func(e *tree.Entry) int64 {
	first := map[string]bool{}
	for _, name := range objectNames(x) {
		first[name] = true
	}
	return func(e *tree.Entry) int64 {
		switch {
		case e.Path != "sysroot" && tree.Within(e.Path, "sysroot"):
			return 0
		case first[e.Path]:
			alone := *e
			alone.Link = ""
			return weight(&alone)
		default:
			return weight(e)
		}
	}
}
