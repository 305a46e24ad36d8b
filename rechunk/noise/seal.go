package noise

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/strata-oci/strata/rechunk/tree"
)

// What is read of a file that may seal an image, and how many there may be.
const (
	maxSealFile  = 64 << 10
	maxSealFiles = 256
)

// Seal says what binds an image to exactly the bytes that it was built of, for people; "" for nothing that is known. Nothing
// of such an image may be kept from another. labels are those of its config and the annotations of its manifest; open opens
// a regular file of the tree. The error is open's.
//
// A seal is a unified kernel image, which holds an initramfs and often the digest of the whole tree; an Android boot image;
// a label or annotation about composefs or fs-verity; a kernel argument with the digest of a tree; and a setup that wants
// commits to be signed.
func Seal(t *tree.Tree, labels map[string]string, open func(p string) (io.ReadCloser, error)) (string, error) {
	for name := range labels {
		if n := strings.ToLower(name); strings.Contains(n, "composefs") || strings.Contains(n, "verity") {
			return "a label or annotation about composefs or fs-verity", nil
		}
	}
	read := 0
	for i := range t.Entries {
		e := &t.Entries[i]
		if e.Kind != tree.Regular {
			continue
		}
		if bootImage(e.Path) {
			return "the boot image " + e.Path, nil
		}
		words := sealingWords(e.Path)
		if words == nil {
			continue
		}
		if read++; read > maxSealFiles || e.Size > maxSealFile {
			return fmt.Sprintf("%s, which is not read", e.Path), nil
		}
		word, err := contains(open, e.Path, words)
		if err != nil {
			return "", err
		}
		if word != "" {
			return fmt.Sprintf("%q in %s", word, e.Path), nil
		}
	}
	return "", nil
}

// bootImage recognises files that a firmware or a boot loader starts, and that hold a kernel with its initramfs.
func bootImage(p string) bool {
	p = strings.ToLower(p)
	dir, base := path.Split(p)
	if tree.Within(p, "usr/lib/modules") || tree.Within(p, "lib/modules") {
		return strings.HasSuffix(base, ".efi") || base == "aboot.img"
	}
	return strings.HasSuffix(base, ".efi") && strings.HasSuffix(dir, "efi/linux/")
}

// sealingWords are those that, in the file at a path, bind an image; nil for most paths.
func sealingWords(p string) []string {
	switch {
	case p == "usr/lib/ostree/prepare-root.conf", p == "etc/ostree/prepare-root.conf",
		p == "usr/etc/ostree/prepare-root.conf":
		return []string{"signed"}
	case tree.Within(p, "usr/lib/bootc/kargs.d"), p == "etc/kernel/cmdline", p == "usr/lib/kernel/cmdline",
		p == "usr/etc/kernel/cmdline":
		return []string{"composefs=", "roothash=", "usrhash=", "verity"}
	}
	return nil
}

// contains returns the first of some words that a file has in it, or "".
func contains(open func(string) (io.ReadCloser, error), p string, words []string) (string, error) {
	r, err := open(p)
	if err != nil || r == nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxSealFile))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", p, err)
	}
	for _, w := range words {
		if strings.Contains(strings.ToLower(string(b)), w) {
			return w, nil
		}
	}
	return "", nil
}
