package seed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// ErrUnknownImage says that a root file system does not tell which image it holds.
var ErrUnknownImage = errors.New("the root file system does not tell which image it holds")

// Bounds of what is read of a host: commits hold the image's manifest and configuration.
const (
	maxCommandLine = 64 << 10
	maxOrigin      = 64 << 10
	maxCommit      = 16 << 20
)

// Image returns the digest of the manifest that the root file system was made of, as bootc noted it: with ostree, in the
// commit of the booted deployment; with composefs, in the deployment's origin. Another root than a bootc host's gives
// ErrUnknownImage. It is looked for anew each time: hosts boot other images.
func (r *Root) Image() (digest.Digest, error) {
	root, err := os.OpenRoot(r.dir)
	if err != nil {
		return "", fmt.Errorf("root file system %s: %w", r.dir, err)
	}
	defer root.Close()
	line, err := commandLine(root)
	if err != nil {
		return "", err
	}
	for argument := range strings.FieldsSeq(line) {
		if deployment, ok := strings.CutPrefix(argument, "ostree="); ok {
			return ostreeImage(root, deployment)
		}
		if id, ok := strings.CutPrefix(argument, "composefs="); ok {
			return composefsImage(root, strings.TrimPrefix(id, "?"))
		}
	}
	return "", fmt.Errorf("%s: %w: the kernel's command line names no deployment", r.dir, ErrUnknownImage)
}

// commandLine is the running kernel's: in a container, too, though there the host's /proc is rarely below the root.
func commandLine(root *os.Root) (string, error) {
	if b, err := readBelow(root, "proc/cmdline", maxCommandLine); err == nil {
		return string(b), nil
	}
	f, err := os.Open("/proc/cmdline")
	if err != nil {
		return "", fmt.Errorf("the kernel's command line: %w: %w", ErrUnknownImage, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxCommandLine))
	return string(b), err
}

// readBelow reads a small regular file.
func readBelow(root *os.Root, p string, limit int64) ([]byte, error) {
	info, err := root.Stat(p)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", p, fs.ErrInvalid)
	}
	f, err := root.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s is longer than %d bytes", p, limit)
	}
	return b, err
}

// sysroots are where a deployment shows the physical root, and where that is when the root given is the physical one.
func sysroots() []string { return []string{"sysroot", "."} }

// deploymentName is the directory of a deployment of ostree: the commit, and a number.
var deploymentName = regexp.MustCompile(`^([0-9a-f]{64})\.[0-9]+$`)

// ostreeImage finds what the commit of a deployment was imported from. The deployment is a path on the physical root,
// "/ostree/boot.1/default/…/0", which is a link to the deployment's directory.
func ostreeImage(root *os.Root, deployment string) (digest.Digest, error) {
	for _, sysroot := range sysroots() {
		target, err := root.Readlink(path.Join(sysroot, path.Clean("/"+deployment)))
		if err != nil {
			continue
		}
		name := deploymentName.FindStringSubmatch(path.Base(target))
		if name == nil {
			continue
		}
		commit := name[1]
		b, err := readBelow(root, path.Join(sysroot, "ostree/repo/objects", commit[:2], commit[2:]+".commit"), maxCommit)
		if err != nil {
			return "", fmt.Errorf("commit %s of the booted deployment: %w: %w", commit, ErrUnknownImage, err)
		}
		return commitImage(b)
	}
	return "", fmt.Errorf("deployment %s: %w: it is not there", deployment, ErrUnknownImage)
}

// manifestKey is how ostree-rs-ext, and so bootc, notes in a commit's metadata which manifest it was made of.
const manifestKey = "ostree.manifest-digest\x00"

// commitImage reads a commit's metadata, the first member of the GVariant (a{sv}aya(say)sstayay). Of that dictionary, one
// entry is wanted: {"ostree.manifest-digest", <"sha256:…">}. In a serialized entry the key with its NUL comes first, then,
// aligned to eight, the variant: its string with a NUL, another NUL, and the type "s". That is looked for as it is: what is
// found names a seed, and a wrong one only costs bytes.
func commitImage(commit []byte) (digest.Digest, error) {
	for rest := commit; ; {
		at := bytes.Index(rest, []byte(manifestKey))
		if at < 0 {
			return "", fmt.Errorf("commit of the booted deployment: %w: it was not made of an image", ErrUnknownImage)
		}
		rest = rest[at+len(manifestKey):]
		text, tail, ok := bytes.Cut(bytes.TrimLeft(rest[:min(len(rest), maxVariant)], "\x00"), []byte{0, 0, 's'})
		if d := digest.Digest(text); ok && len(tail) >= 0 && d.Validate() == nil {
			return d, nil
		}
	}
}

// maxVariant is the length of the longest digest as a variant, with what aligns it.
const maxVariant = 8 + 7 + 128 + 3

// deploymentID is what composefs deployments are called: the digest of their tree.
var deploymentID = regexp.MustCompile(`^[0-9a-f]{64,128}$`)

// composefsImage reads the origin of a deployment, an INI file: [image], manifest_digest=….
func composefsImage(root *os.Root, id string) (digest.Digest, error) {
	if !deploymentID.MatchString(id) {
		return "", fmt.Errorf("the kernel's command line: %w: composefs= is no digest", ErrUnknownImage)
	}
	for _, sysroot := range sysroots() {
		b, err := readBelow(root, path.Join(sysroot, "state/deploy", id, id+".origin"), maxOrigin)
		if err != nil {
			continue
		}
		section := ""
		for line := range strings.Lines(string(b)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "[") {
				section = line
			}
			key, value, _ := strings.Cut(line, "=")
			if d := digest.Digest(strings.TrimSpace(value)); section == "[image]" &&
				strings.TrimSpace(key) == "manifest_digest" && d.Validate() == nil {
				return d, nil
			}
		}
		return "", fmt.Errorf("origin of the deployment: %w: it names no manifest", ErrUnknownImage)
	}
	return "", fmt.Errorf("composefs deployment %s: %w: it has no origin", id[:16], ErrUnknownImage)
}
