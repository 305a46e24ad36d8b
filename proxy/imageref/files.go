package imageref

import (
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
)

// createTemp makes a new file whose mode heeds the umask, which that of os.CreateTemp does not.
func createTemp(dir, prefix string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, prefix+rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
}

// writeFile writes all of r to a file of the layout, or leaves what was there.
func (l *layoutDestination) writeFile(name string, r io.Reader) (err error) {
	tmp, err := createTemp(l.dir, ".strata-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// A second Close fails, and there is nothing more to be said about a file that goes away.
			_ = tmp.Close()
			err = join(err, os.Remove(tmp.Name()))
		}
	}()
	if _, err := io.Copy(tmp, r); err != nil {
		return err
	}
	if l.durable {
		if err := tmp.Sync(); err != nil {
			return err
		}
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), filepath.Join(l.dir, filepath.FromSlash(name)))
}

// syncDir makes a directory's renames last.
func (l *layoutDestination) syncDir(name string) error {
	if !l.durable {
		return nil
	}
	return syncDir(filepath.Join(l.dir, name))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return join(d.Sync(), d.Close())
}
