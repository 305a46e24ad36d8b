package rpmdb

import (
	"strconv"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// publicKey is the name of the pseudo-packages that hold imported keys.
const publicKey = "gpg-pubkey"

// decodePackage reads what a package is and which files it has from a header blob. Without a package and an error the header
// is none of a package.
func decodePackage(blob []byte) (*installed.Package, *fileTable, error) {
	h, err := parseHeader(blob)
	if err != nil {
		return nil, nil, err
	}
	p := &installed.Package{}
	if p.Name, err = h.text(tagName); err != nil {
		return nil, nil, err
	}
	if p.Name == publicKey {
		return nil, nil, nil
	}
	if p.Own, err = ownVersion(h); err != nil {
		return nil, nil, err
	}
	if p.Arch, err = h.text(tagArch); err != nil {
		return nil, nil, err
	}
	if err := decodeSource(h, p); err != nil {
		return nil, nil, err
	}
	if err := decodeTimes(h, p); err != nil {
		return nil, nil, err
	}
	if err := p.Check(); err != nil {
		return nil, nil, err
	}
	files, err := newFileTable(h)
	return p, files, err
}

// decodeSource finds the source package and its version, falling back to the package itself.
func decodeSource(h *header, p *installed.Package) error {
	file, err := h.text(tagSourceRPM)
	if err != nil {
		return err
	}
	if name, version, ok := splitSourceRPM(file); ok && len(file) <= installed.MaxName {
		p.Source, p.Version = name, version
		return nil
	}
	p.Source, p.Version = p.Name, p.Own
	return nil
}

// ownVersion returns a package's epoch, where that is not 0, its version and its release.
func ownVersion(h *header) (string, error) {
	version, err := h.text(tagVersion)
	if err != nil {
		return "", err
	}
	release, err := h.text(tagRelease)
	if err != nil {
		return "", err
	}
	epoch, err := h.ints(tagEpoch)
	if err != nil {
		return "", err
	}
	version += "-" + release
	if epoch.len() > 0 && epoch.at(0) > 0 {
		version = strconv.FormatInt(epoch.at(0), 10) + ":" + version
	}
	return version, nil
}

// splitSourceRPM takes "glibc-2.41-5.fc42.src.rpm" apart into "glibc" and "2.41-5.fc42".
func splitSourceRPM(file string) (name, version string, ok bool) {
	base, ok := strings.CutSuffix(file, ".src.rpm")
	if !ok {
		base, ok = strings.CutSuffix(file, ".nosrc.rpm")
	}
	if !ok {
		return "", "", false
	}
	release := strings.LastIndexByte(base, '-')
	if release <= 0 {
		return "", "", false
	}
	at := strings.LastIndexByte(base[:release], '-')
	if at <= 0 {
		return "", "", false
	}
	return base[:at], base[at+1:], true
}

// decodeTimes reads when the package was built and what its changelog is dated.
func decodeTimes(h *header, p *installed.Package) error {
	built, err := h.ints(tagBuildTime)
	if err != nil {
		return err
	}
	if built.len() > 0 {
		p.BuildTime = max(built.at(0), 0)
	}
	changes, err := h.ints(tagChangelogTime)
	if err != nil {
		return err
	}
	for i := range changes.len() {
		if p.Changes = append(p.Changes, changes.at(i)); len(p.Changes) == 8*installed.MaxChanges {
			p.Changes = installed.Newest(p.Changes)
		}
	}
	p.Changes = installed.Newest(p.Changes)
	return nil
}
