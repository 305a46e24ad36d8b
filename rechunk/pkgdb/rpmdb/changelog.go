package rpmdb

import "github.com/strata-oci/strata/rechunk/pkgdb/installed"

// decodeLog hands over the changelog of the package in a header blob, as far as its three arrays agree.
func decodeLog(blob []byte, p *installed.Package, to installed.Logs) error {
	h, err := parseHeader(blob)
	if err != nil {
		return err
	}
	times, err := h.ints(tagChangelogTime)
	if err != nil {
		return err
	}
	names, err := h.texts(tagChangelogName)
	if err != nil {
		return err
	}
	texts, err := h.texts(tagChangelogText)
	if err != nil {
		return err
	}
	for i := range min(times.len(), names.left, texts.left, installed.MaxEntries) {
		name, err := names.next()
		if err != nil {
			return err
		}
		text, err := texts.next()
		if err != nil {
			return err
		}
		title := installed.Text(name, installed.MaxEntry/2)
		to.Entry(p, installed.Entry{Time: max(times.at(i), 0), Title: title,
			Text: installed.Text(text, installed.MaxEntry/2)})
	}
	return nil
}
