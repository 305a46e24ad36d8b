package main

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/strata-oci/strata/rechunk/tree"
)

// chunkah is the real program, run on the unpacked image.
type chunkah struct {
	program, work string
	known         map[string]sized // by digest of the blob
	// files are those that packages own, as the version before has them.
	files map[string]tree.Entry
}

// unpack writes the source's layers into a directory as a container engine would have them.
func (c *chunkah) unpack(ctx context.Context, s *series, v *version) (string, error) {
	root := filepath.Join(c.work, "rootfs")
	if err := remove(root); err != nil {
		return "", err
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	for _, l := range v.source {
		if _, err := output(ctx, "tar", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-xzf", blob(s.dir, l.digest),
			"-C", root); err != nil {
			return "", err
		}
	}
	return root, c.restore(v, root)
}

// restore undoes what making the series did to times. Its versions are dated before their packages, and files that are newer
// than the version have its date; but what a package installs has the same time in every image. Directories get the time of
// the version, which is that of the installation. Files that no package owns keep the times that they have.
func (c *chunkah) restore(v *version, root string) error {
	now := v.clock()
	next := map[string]tree.Entry{}
	for i := len(v.tree().Entries) - 1; i >= 0; i-- { // directories after what they hold
		e := v.tree().Entries[i]
		switch {
		case e.Kind == tree.Dir:
			e.Sec, e.Nsec = now, 0
		case v.owner[i] < 0:
			continue
		default:
			if was, ok := c.files[e.Path]; ok && was.Same(&e) {
				e.Sec, e.Nsec = was.Sec, was.Nsec
			}
			next[e.Path] = e
		}
		t := unix.Timespec{Sec: e.Sec, Nsec: int64(e.Nsec)}
		err := unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(root, e.Path), []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			return fmt.Errorf("time of %q: %w", e.Path, err)
		}
	}
	c.files = next
	return nil
}

func blob(dir, d string) string {
	return filepath.Join(dir, "blobs", "sha256", digest.Digest(d).Encoded())
}

// next chunks the unpacked version. The clock is the version's, so that a repeated run gives the same.
func (c *chunkah) next(ctx context.Context, v *version, root string, layers int, s *scales) (image, error) {
	out := filepath.Join(c.work, "chunkah")
	if err := remove(out); err != nil {
		return nil, err
	}
	_, err := output(ctx, c.program, "build", "--rootfs", root, "--compressed", "--skip-special-files", "--max-layers",
		strconv.Itoa(layers),
		"--config-str", "{}", "--source-date-epoch", strconv.FormatInt(v.clock(), 10), "--output", "oci:"+out, "--tag",
		"made")
	if err != nil {
		return nil, err
	}
	made, err := manifest(out, "made")
	if err != nil {
		return nil, err
	}
	img := make(image, len(made))
	for i, l := range made {
		if known, ok := c.known[l.digest]; ok {
			img[i] = known
			continue
		}
		entries, err := contained(v, blob(out, l.digest))
		if err != nil {
			return nil, fmt.Errorf("chunkah's layer %s: %w", l.digest, err)
		}
		w, err := s.layer(ctx, v, entries, v.objects(false), false)
		if err != nil {
			return nil, err
		}
		img[i] = sized{key: l.digest, own: l.size, ours: w.ours}
		c.known[l.digest] = img[i]
	}
	return img, nil
}

// contained lists the entries of a version that a gzip layer holds; directories are not listed.
func contained(v *version, file string) (_ []int, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var out []int
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if i, ok := v.tree().Find(strings.TrimPrefix(path.Clean("/"+h.Name), "/")); ok && h.Typeflag != tar.TypeDir {
			out = append(out, i)
		}
	}
}

// clock is the time at which the version was made: of the newest package or file, in seconds since the Unix epoch.
func (v *version) clock() int64 {
	now := v.built
	for i := range v.tree().Entries {
		now = max(now, v.tree().Entries[i].Sec)
	}
	return now
}
