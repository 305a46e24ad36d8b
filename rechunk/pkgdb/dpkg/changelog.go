package dpkg

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
)

// MaxChangelogs bounds what is read of all changelogs of an image, in bytes after decompression. A desktop has some 200 MB.
const MaxChangelogs = 256 << 20

const (
	// maxChangelog is the longest changelog file that is opened, in bytes.
	maxChangelog = 16 << 20
	// maxChangelogText is how much of a changelog is read at most, in bytes after decompression; the newest entries come
	// first.
	maxChangelogText = 4 << 20
	// maxChangelogLine is the longest line; what follows a longer one is not read.
	maxChangelogLine = 64 << 10
)

// changelogs finds the changelogs of source packages, each once: its binary packages ship the same.
type changelogs struct {
	view *rootfs.View
	warn func(line string)
	done map[string]bool
	left int64 // bytes of text that may still be read
}

func newChangelogs(v *rootfs.View, warn func(string)) *changelogs {
	return &changelogs{view: v, warn: warn, done: map[string]bool{}, left: MaxChangelogs}
}

// read returns the times in the changelog that the package ships, and hands its entries to who wants them; nil when it has
// none or another package of its source had one, or when all changelogs together are too long.
func (l *changelogs) read(ctx context.Context, p *installed.Package, c *control, to installed.Logs) ([]int64, error) {
	if l.done[p.Source] || l.left <= 0 {
		return nil, nil
	}
	var times []int64
	take := func(e installed.Entry) { times = append(times, e.Time) }
	if to != nil {
		take = func(e installed.Entry) {
			if len(times) < installed.MaxEntries {
				to.Entry(p, e)
			}
			times = append(times, e.Time)
		}
	}
	dir := "usr/share/doc/" + c.name + "/"
	// A rebuild without a change in the source has an entry of its own, in a file beside the source's.
	for _, name := range []string{"changelog.Debian." + c.arch + ".gz", "changelog.Debian.gz", "changelog.gz"} {
		r, err := l.view.Text(ctx, dir+name, maxChangelog)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, rootfs.ErrTooLarge) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("changelog of %s: %w", c.name, err)
		}
		if err := errors.Join(l.unpack(r, to != nil, take), r.Close()); err != nil {
			return nil, fmt.Errorf("changelog of %s: %w", c.name, err)
		}
		if name == "changelog.Debian.gz" {
			break // changelog.gz is upstream's then
		}
	}
	if times = installed.Newest(times); len(times) > 0 {
		l.done[p.Source] = true
	}
	return times, nil
}

// unpack hands over the entries of a compressed changelog as far as it can be read, with their text or with their times
// alone. The error is one of reading the compressed bytes.
func (l *changelogs) unpack(compressed io.Reader, text bool, take func(installed.Entry)) error {
	in := &failing{r: compressed}
	r, err := gzip.NewReader(bufio.NewReaderSize(in, 16<<10))
	if err != nil {
		return in.err
	}
	defer r.Close()
	log := &io.LimitedReader{R: r, N: min(maxChangelogText, l.left)}
	l.left -= log.N
	parseChangelog(log, text, take)
	if l.left += log.N; l.left == 0 {
		l.warn(fmt.Sprintf("changelogs have more than %d bytes: those of some packages are not known", int64(MaxChangelogs)))
	}
	return in.err
}

// failing keeps the error of a reader, which a decompressor mixes with its own.
type failing struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// parseChangelog hands over the entries of a changelog (deb-changelog(5)) in order, at most installed.MaxChanges, up to the
// first thing that cannot be read. An entry is a line that names source package and version, indented lines, and a trailer,
// " -- Name <address>  Mon, 02 Jan 2006 15:04:05 +0000"; one whose date cannot be read is none.
func parseChangelog(r io.Reader, text bool, take func(installed.Entry)) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxChangelogLine)
	var title string
	var body []byte
	for entries := 0; entries < installed.MaxChanges && lines.Scan(); {
		line := lines.Bytes()
		switch {
		case bytes.HasPrefix(line, []byte(" -- ")):
			if t, ok := trailerTime(string(line)); ok {
				entries++
				take(installed.Entry{Time: t, Title: title, Text: installed.Text(body, installed.MaxEntry/2)})
			}
			title, body = "", body[:0]
		case !text || len(line) == 0 && len(body) == 0:
		case len(line) > 0 && line[0] != ' ' && line[0] != '\t':
			title, body = installed.Text(line, installed.MaxEntry/2), body[:0]
		case len(body)+len(line) < installed.MaxEntry/2:
			body = append(append(body, line...), '\n')
		}
	}
}

// trailerTime parses the date of a trailer line; it follows the address and two spaces.
func trailerTime(line string) (int64, bool) {
	at := strings.LastIndex(line, ">")
	if at < 0 {
		return 0, false
	}
	date := strings.TrimSpace(line[at+1:])
	if i := strings.IndexByte(date, '('); i >= 0 {
		date = strings.TrimSpace(date[:i]) // a comment that names the zone
	}
	t, err := time.Parse("Mon, _2 Jan 2006 15:04:05 -0700", date)
	if err != nil {
		return 0, false
	}
	return t.Unix(), true
}
