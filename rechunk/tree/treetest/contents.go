package treetest

import (
	"crypto/sha256"
	"fmt"
	"io"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// Contents keeps contents of files in memory. Open is safe for concurrent use as long as nothing is added.
type Contents map[tree.Digest]string

var _ tree.Contents = Contents{}

// Add keeps a content and returns its digest.
func (c Contents) Add(body string) tree.Digest {
	d := tree.Digest(sha256.Sum256([]byte(body)))
	c[d] = body
	return d
}

// Open implements tree.Contents.
func (c Contents) Open(d tree.Digest) (io.ReadCloser, error) {
	body, ok := c[d]
	if !ok {
		return nil, fmt.Errorf("%w: %s", tree.ErrNoContent, d)
	}
	return io.NopCloser(strings.NewReader(body)), nil
}

// Lines shows entries, one a line: kind, path and what matters of the rest.
func Lines(entries []tree.Entry) []string {
	var out []string
	for _, e := range entries {
		s := e.Kind.String() + " " + e.Path
		switch e.Kind {
		case tree.Regular:
			s += fmt.Sprintf(" %d", e.Size)
		case tree.Symlink:
			s += " -> " + e.Target
		case tree.Char, tree.Block:
			s += fmt.Sprintf(" %d:%d", e.Major, e.Minor)
		}
		if e.Link != "" {
			s += " = " + e.Link
		}
		out = append(out, s)
	}
	return out
}
