package chunkstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"

	"github.com/strata-oci/strata/chunkstore/private"
)

// privateFiles is a filesystem driver whose directories and files are its user's alone. The driver itself makes them for everybody whom
// the umask lets, and writes through links.
type privateFiles struct {
	storagedriver.StorageDriver
	root string
}

// prepare makes the directory, or refuses one that others can change.
func (p *privateFiles) prepare() error {
	if err := private.Directory(p.root); err != nil {
		return err
	}
	return private.Tree(filepath.Join(p.root, filepath.FromSlash(rootDir)))
}

// Writer makes the file before the driver does.
func (p *privateFiles) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	name := filepath.Join(p.root, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(name), private.DirMode); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, private.FileMode)
	switch {
	case err == nil:
		err = f.Close()
	case append && errors.Is(err, fs.ErrExist):
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return p.StorageDriver.Writer(ctx, path, append)
}

// Move makes the directory before the driver does.
func (p *privateFiles) Move(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(filepath.Dir(filepath.Join(p.root, filepath.FromSlash(to))), private.DirMode); err != nil {
		return err
	}
	return p.StorageDriver.Move(ctx, from, to)
}
