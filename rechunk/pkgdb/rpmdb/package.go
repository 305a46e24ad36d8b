package rpmdb

import (
	"strconv"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
)

// publicKey is the name of the pseudo-packages that hold imported keys.
const publicKey = "gpg-pubkey"

// decodePackage fills p from a header blob. It reports false for headers that are not packages.
func decodePackage(blob []byte, p *installed.Package) (bool, error) {
	h, err := parseHeader(blob)
	if err != nil {
		return false, err
	}
	*p = installed.Package{Files: p.Files[:0], Changes: p.Changes[:0]}
	if p.Name, err = h.text(tagName); err != nil {
		return false, err
	}
	if p.Name == publicKey {
		return false, nil
	}
	if p.Name == "" || len(p.Name) > installed.MaxName {
		return false, damaged("package name of %d bytes", len(p.Name))
	}
	if err := decodeSource(h, p); err != nil {
		return false, err
	}
	if err := decodeTimes(h, p); err != nil {
		return false, err
	}
	return true, decodeFiles(h, p)
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
	version, err := h.text(tagVersion)
	if err != nil {
		return err
	}
	release, err := h.text(tagRelease)
	if err != nil {
		return err
	}
	epoch, err := h.ints(tagEpoch)
	if err != nil {
		return err
	}
	p.Source, p.Version = p.Name, version+"-"+release
	if epoch.len() > 0 && epoch.at(0) > 0 {
		p.Version = strconv.FormatInt(epoch.at(0), 10) + ":" + p.Version
	}
	if len(p.Version) > installed.MaxName {
		return damaged("version of package %s has %d bytes, at most %d are allowed", p.Name, len(p.Version), installed.MaxName)
	}
	return nil
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
		p.Changes = append(p.Changes, changes.at(i))
	}
	p.Changes = installed.Newest(p.Changes)
	return nil
}
