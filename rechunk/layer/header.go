package layer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strata-oci/strata/rechunk/tree"
)

const (
	blockSize = 512
	nameSize  = 100 // of the fields for the name and a link's target
)

// setHeader makes h the tar header of an entry: ustar where everything fits, with PAX records where it does not.
func setHeader(h *tar.Header, e *tree.Entry) error {
	*h = tar.Header{
		Format: tar.FormatPAX, Name: e.Path, Mode: int64(e.Mode), Uid: e.UID, Gid: e.GID,
		ModTime: time.Unix(e.Sec, int64(e.Nsec)),
	}
	switch e.Kind {
	case tree.Dir:
		h.Typeflag, h.Name = tar.TypeDir, e.Path+"/"
	case tree.Regular:
		h.Typeflag, h.Size = tar.TypeReg, e.Size
	case tree.Symlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Target
	case tree.Char:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, e.Major, e.Minor
	case tree.Block:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeBlock, e.Major, e.Minor
	case tree.Fifo:
		h.Typeflag = tar.TypeFifo
	default:
		return fmt.Errorf("%q has no kind", e.Path)
	}
	if len(e.Xattrs) > 0 {
		h.PAXRecords = make(map[string]string, len(e.Xattrs))
		for _, x := range e.Xattrs {
			h.PAXRecords["SCHILY.xattr."+x.Name] = x.Value
		}
	}
	return nil
}

// isPlain reports whether archive/tar writes a header without PAX records for the name or a link's target. Clients misread
// these: some rename entries in the header, which the record then overrides, and in the C locale libarchive refuses what is
// not ASCII. It takes the zero time.Time for none, too.
func isPlain(h *tar.Header) (bool, error) {
	switch {
	case strings.Contains(h.Name+h.Linkname, "\x00"):
		return true, nil // which is an error there
	case h.ModTime.IsZero(), !isASCII(h.Name), !isASCII(h.Linkname), len(h.Linkname) > nameSize:
		return false, nil
	case len(h.Name) <= nameSize:
		return true, nil
	}
	// Some longer names fit into ustar's two fields.
	var tried bytes.Buffer
	if err := tar.NewWriter(&tried).WriteHeader(h); err != nil {
		return false, err
	}
	return tried.Bytes()[156] != tar.TypeXHeader, nil
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}

// rawHeader writes the blocks of a header as GNU tar does, names as they are and long ones in records of type L and K, after
// PAX records for what else has no place in it.
func rawHeader(h *tar.Header) ([]byte, error) {
	for key := range h.PAXRecords {
		if strings.ContainsAny(key, "=\x00") {
			return nil, fmt.Errorf("%w: no PAX record can have the key %q", tar.ErrHeader, key)
		}
	}
	if !fits(h.Devmajor, 8) || !fits(h.Devminor, 8) {
		return nil, fmt.Errorf("%w: device %d:%d", tar.ErrHeader, h.Devmajor, h.Devminor)
	}
	var out []byte
	if records := paxRecords(h); len(records) > 0 {
		out = appendRecord(out, tar.TypeXHeader, "PaxHeaders.0/x", records)
	}
	if len(h.Linkname) > nameSize {
		out = appendRecord(out, tar.TypeGNULongLink, "././@LongLink", h.Linkname+"\x00")
	}
	if len(h.Name) > nameSize {
		out = appendRecord(out, tar.TypeGNULongName, "././@LongLink", h.Name+"\x00")
	}
	return append(out, block(h)...), nil
}

// paxRecords are the PAX records of a header, sorted by key, but for its names.
func paxRecords(h *tar.Header) string {
	records := maps.Clone(h.PAXRecords)
	if records == nil {
		records = map[string]string{}
	}
	for key, n := range map[string]int64{"uid": int64(h.Uid), "gid": int64(h.Gid)} {
		if !fits(n, 8) {
			records[key] = strconv.FormatInt(n, 10)
		}
	}
	if !fits(h.Size, 12) {
		records["size"] = strconv.FormatInt(h.Size, 10)
	}
	if sec, nsec := h.ModTime.Unix(), h.ModTime.Nanosecond(); nsec != 0 || !fits(sec, 12) {
		records["mtime"] = paxTime(sec, nsec)
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(records)) {
		b.WriteString(paxRecord(key, records[key]))
	}
	return b.String()
}

// paxTime writes a time in decimal seconds, without trailing zeros.
func paxTime(sec int64, nsec int) string {
	sign := ""
	if sec < 0 {
		if sign, sec = "-", -sec; nsec > 0 {
			sec, nsec = sec-1, 1_000_000_000-nsec
		}
	}
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%s%d.%09d", sign, sec, nsec), "0"), ".")
}

// paxRecord is "LENGTH KEY=VALUE\n", its own length in decimal at its start.
func paxRecord(key, value string) string {
	rest := len(key) + len(value) + 3
	size := rest + len(strconv.Itoa(rest))
	size = rest + len(strconv.Itoa(size))
	return fmt.Sprintf("%d %s=%s\n", size, key, value)
}

// appendRecord appends a record about the next header.
func appendRecord(out []byte, kind byte, name, data string) []byte {
	h := &tar.Header{Typeflag: kind, Name: name, Size: int64(len(data)), ModTime: time.Unix(0, 0)}
	out = append(append(out, block(h)...), data...)
	return append(out, make([]byte, padding(int64(len(data))))...)
}

// padding is what fills up the last block of a content.
func padding(size int64) int64 { return -size & (blockSize - 1) }

// block is the header block: GNU's, with zero for a number that does not fit.
func block(h *tar.Header) []byte {
	b := make([]byte, blockSize)
	number := func(off, width int, n int64) {
		if !fits(n, width) {
			n = 0
		}
		copy(b[off:], fmt.Sprintf("%0*o", width-1, n))
	}
	copy(b[:nameSize], h.Name)
	number(100, 8, h.Mode)
	number(108, 8, int64(h.Uid))
	number(116, 8, int64(h.Gid))
	number(124, 12, h.Size)
	number(136, 12, h.ModTime.Unix())
	b[156] = h.Typeflag
	copy(b[157:157+nameSize], h.Linkname)
	copy(b[257:], "ustar  ")
	number(329, 8, h.Devmajor)
	number(337, 8, h.Devminor)
	sum := 8 * int64(' ')
	for _, c := range b {
		sum += int64(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

// fits reports whether a number fits into an octal field.
func fits(n int64, width int) bool { return n >= 0 && n < 1<<(3*(width-1)) }
