package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sameness says what a comparison looks at beside the invariant.
type sameness struct {
	times bool // modification times, too
	// anyTop lets the top directory have any mode: containers-storage sets it itself.
	anyTop bool
	// anyLinks lets identical files be hardlinks in one and not in the other.
	anyLinks bool
}

// sameTree compares two directories with rsync: names, types, modes, owners, devices, hardlinks, attributes, ACLs and
// contents. It goes both ways, since rsync overlooks hardlinks that only its destination has.
func sameTree(tb testing.TB, want, got string, s sameness) {
	tb.Helper()
	need(tb, "rsync")
	flags := []string{"--dry-run", "--itemize-changes", "--delete", "--checksum", "--numeric-ids", "-rlpgoDAX"}
	if !s.anyLinks {
		flags = append(flags, "--hard-links")
	}
	if s.times {
		flags = append(flags, "--times")
	}
	for _, way := range [][2]string{{want, got}, {got, want}} {
		out := strings.TrimSpace(command(tb, nil, "rsync", append(flags, way[0]+"/", way[1]+"/")...))
		if s.anyTop {
			out = strings.TrimPrefix(out, ".d...p..... ./")
		}
		if out != "" {
			tb.Errorf("the served filesystem is not the source's (rsync %v):\n%.2000s", flags, out)
			return
		}
	}
}

// sameFiles compares what ostree keeps for a user's checkout: names, types, permissions without setuid and the like, link
// targets and contents. ignore lists paths that are not compared, with all below them.
func sameFiles(tb testing.TB, want, got string, ignore ...string) {
	tb.Helper()
	need(tb, "rsync")
	flags := []string{"--dry-run", "--itemize-changes", "--delete", "--checksum", "-rl"}
	for _, p := range ignore {
		flags = append(flags, "--exclude=/"+p)
	}
	if out := strings.TrimSpace(command(tb, nil, "rsync", append(flags, want+"/", got+"/")...)); out != "" {
		tb.Errorf("the imported filesystem is not the source's (rsync %v):\n%.2000s", flags, out)
	}
	if diff := cmp.Diff(modes(tb, want, ignore), modes(tb, got, ignore)); diff != "" {
		tb.Errorf("the imported filesystem has other permissions than the source's (-source +imported):\n%.2000s", diff)
	}
}

// modes lists the types and permissions of the directories and files below a directory.
func modes(tb testing.TB, root string, ignore []string) map[string]string {
	tb.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		for _, p := range ignore {
			if rel == p {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		// The top directory belongs to the checkout.
		if rel != "." && info.Mode()&os.ModeSymlink == 0 {
			out[rel] = fmt.Sprint(info.Mode().Type(), " ", info.Mode().Perm())
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out
}
