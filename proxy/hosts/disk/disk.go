// Package disk reads what a host has of the files that package hosts makes, and writes those. It stays below the directory
// that it is given: absolute links are followed from there on, and what leads out of it is refused.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/strata-oci/strata/proxy/hosts"
	"github.com/strata-oci/strata/proxy/hosts/inroot"
	"github.com/strata-oci/strata/proxy/hosts/policy"
	"github.com/strata-oci/strata/proxy/hosts/registries"
)

// maxFile bounds what is read of one file.
const maxFile = policy.MaxBytes

// rootsPolicy is that of the user root.
const rootsPolicy = "root/.config/containers/policy.json"

// Existing reads what the host has whose files lie below root. What is not there is empty. The files that were made for a
// proxy, host[:port], before are told apart from others'.
func Existing(root, proxy string) (hosts.Existing, error) {
	var e hosts.Existing
	r, err := inroot.Open(root)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	defer func() { _ = r.Close() }() // only read
	e.Known = true
	for _, file := range []string{"etc/containers/policy.json", "usr/share/containers/policy.json", rootsPolicy} {
		b, err := optional(r, file)
		if file == rootsPolicy && errors.Is(err, fs.ErrPermission) {
			err = nil // somebody else's
		}
		if err != nil {
			return e, fmt.Errorf("/%s: %w", file, err)
		}
		if e.Policy == nil {
			e.Policy = b
		}
		e.RootsPolicy = file == rootsPolicy && b != nil
	}
	if e.Docker, err = optional(r, "etc/docker/daemon.json"); err != nil {
		return e, err
	}
	if e.Names, err = optional(r, registries.ConfDir+"/"+hosts.NamesFile(proxy)); err != nil {
		return e, err
	}
	if e.Registries, err = registries.Read(r, hosts.NamesFile(proxy)); err != nil {
		return e, err
	}
	own := hosts.AttachmentsFile(proxy)
	if e.Signatures, err = optional(r, registries.SignDir+"/"+own); err != nil {
		return e, err
	}
	signatures, err := registries.ReadSignatures(r, registries.SignDir, own)
	if err != nil {
		return e, err
	}
	e.Attachments = func(namespace string) (listed, enabled bool) {
		n, ok := signatures.Docker[namespace]
		return ok, ok && n.Attachments != nil && bool(*n.Attachments)
	}
	return e, nil
}

// ReadFile reads a file of at most a megabyte.
func ReadFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return readAll(f)
}

func optional(r *inroot.Root, name string) ([]byte, error) {
	f, err := r.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readAll(f)
}

func readAll(f fs.File) ([]byte, error) {
	defer func() { _ = f.Close() }() // only read
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(b) > maxFile {
		err = fmt.Errorf("more than %d bytes", maxFile)
	}
	if err != nil {
		return nil, err
	}
	return b, err
}

// Write puts files below root, each whole or not at all, the one before replaced. It makes the directories that are missing.
func Write(root string, files []hosts.File) error {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	r, err := inroot.Open(root)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // nothing was written through it itself
	for _, f := range files {
		if err := write(r, strings.TrimPrefix(f.Path, "/"), f.Content); err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
	}
	return nil
}

func write(root *inroot.Root, file, content string) error {
	r, err := root.Directory(path.Dir(file))
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // what was written was synced
	name := path.Base(file)
	temporary := name + ".strata-new"
	f, err := r.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	if before, serr := r.Stat(name); serr == nil { // who could not read it does not read it now
		err = f.Chmod(before.Mode().Perm())
	}
	if err == nil {
		_, err = f.WriteString(content)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = r.Rename(temporary, name)
	}
	if err != nil {
		return errors.Join(err, r.Remove(temporary))
	}
	return nil
}
