package tardiff

import (
	"context"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/strata-oci/strata/rechunk/delta"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Nameable lists the files of a merged filesystem that a tar-diff may name: regular ones with a content, that a host has
// under that path, whatever keeps its images. Left out are
//
//   - paths that hosts do not take from the image as they are: /var, /run, /tmp and their like, which are the machine's own,
//     and /sysroot, where ostree keeps its objects;
//   - files that not everybody may read, as the format's own tools do;
//   - names that are not UTF-8 or longer than readers accept.
func Nameable(t *tree.Tree) []delta.File {
	var out []delta.File
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Kind == tree.Regular && e.Size > 0 && e.Mode&0o004 != 0 && nameable(e.Path) {
			out = append(out, delta.File{Path: e.Path, Size: e.Size, Digest: e.Digest})
		}
	}
	return out
}

// machine are the directories whose contents a host has of its own.
var machine = []string{"var", "run", "tmp", "dev", "proc", "sys", "sysroot", "mnt", "root", "home"}

func nameable(p string) bool {
	top, _, below := strings.Cut(p, "/")
	if below {
		for _, m := range machine {
			if top == m {
				return false
			}
		}
	}
	return len(p) <= maxPath && utf8.ValidString(p)
}

// Files are the files of an image as Sources.
type Files struct {
	files    map[string]delta.File
	contents delta.Contents
}

var _ Sources = (*Files)(nil)

// NewFiles gives the regular files of a merged filesystem, whatever others may name, by their paths.
func NewFiles(t *tree.Tree, c delta.Contents) *Files {
	s := &Files{files: map[string]delta.File{}, contents: c}
	for i := range t.Entries {
		if e := &t.Entries[i]; e.Kind == tree.Regular {
			s.files[e.Path] = delta.File{Path: e.Path, Size: e.Size, Digest: e.Digest}
		}
	}
	return s
}

// Open implements Sources. A file of etc may be in usr/etc, where ostree keeps an image's.
func (s *Files) Open(ctx context.Context, name string) (delta.Content, error) {
	p := path.Clean("/" + name)[1:]
	f, ok := s.files[p]
	if !ok && strings.HasPrefix(p, "etc/") {
		f, ok = s.files["usr/"+p]
	}
	if !ok {
		return nil, fmt.Errorf("%w: the old image has no file %q", ErrSource, shorten(name))
	}
	c, err := s.contents.Open(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrSource, shorten(name), err)
	}
	return c, nil
}

// shorten bounds a name from outside in an error.
func shorten(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
