package registries

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// there reports whether a file or directory can be read.
func there(root fs.FS, name string) bool {
	_, err := fs.Stat(root, name)
	return err == nil
}

// list lists the files of a directory that count, by the end of their names.
func list(root fs.FS, dir, suffix string) ([]string, error) {
	names, _, err := split(root, dir, suffix)
	return names, err
}

// UnreadNames lists the files beside those of names that have no effect, as their names end otherwise.
func UnreadNames(root fs.FS) (files []string) {
	for _, dir := range []string{ConfDir, rootConfDir} {
		_, more, _ := split(root, dir, ".conf") // Read told
		files = append(files, more...)
	}
	return files
}

// UnreadSignatures is the same for places of signatures.
func UnreadSignatures(root fs.FS) []string {
	_, files, _ := split(root, SignaturesDir(root), ".yaml") // ReadSignatures told
	return files
}

func split(root fs.FS, dir, suffix string) (names, others []string, err error) {
	entries, err := fs.ReadDir(root, dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) && dir == rootConfDir {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("/%s: %w", dir, err)
	}
	for _, e := range entries {
		switch {
		case e.IsDir():
		case strings.HasSuffix(e.Name(), suffix):
			names = append(names, path.Join(dir, e.Name()))
		case len(others) < 10:
			others = append(others, path.Join(dir, e.Name()))
		}
	}
	if len(names) > maxFiles {
		return nil, nil, fmt.Errorf("/%s: more than %d files", dir, maxFiles)
	}
	return names, others, nil
}

func read(root fs.FS, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrInvalid, maxFile)
	}
	return b, err
}
