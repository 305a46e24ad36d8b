package layer

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/strata-oci/strata/rechunk/tree"
)

// maxRecords is what composefs reads of the records before one header, in bytes (tar-core's Limits::max_metadata_size).
const maxRecords = 1 << 20

// Unreadable tells, in words, what of an entry bootc cannot read in a layer of any format; it is empty for an entry that it
// can. Attributes are PAX records, "LENGTH SCHILY.xattr.NAME=VALUE\n". For its ostree backend bootc cuts these at every line
// break, whatever their length says, and takes keys for UTF-8 (crate tar, PaxExtensions); its composefs backend reads them
// by their length, up to a bound. No reader can tell a "=" of the name from the one behind it.
//
// Names, link targets and numbers are no reason: they are in no such record, or hold nothing of the kind.
func Unreadable(e *tree.Entry) string {
	records := longRecord(e.Path) + longRecord(e.Target) + longRecord(e.Link)
	for _, x := range e.Xattrs {
		switch {
		case strings.Contains(x.Name, "="):
			return fmt.Sprintf("the attribute %.100q of %.200q has a = in its name", x.Name, e.Path)
		case strings.Contains(x.Name, "\n"):
			return fmt.Sprintf("the attribute %.100q of %.200q has a line break in its name", x.Name, e.Path)
		case !utf8.ValidString(x.Name):
			return fmt.Sprintf("the name of the attribute %.100q of %.200q is not UTF-8", x.Name, e.Path)
		case strings.Contains(x.Value, "\n"):
			return fmt.Sprintf("the attribute %.100q of %.200q has a line break in its value", x.Name, e.Path)
		}
		n := len(" SCHILY.xattr.=\n") + len(x.Name) + len(x.Value)
		records += n + len(strconv.Itoa(n+len(strconv.Itoa(n))))
	}
	if records > maxRecords {
		return fmt.Sprintf("the attributes of %.200q are %d bytes, and more than %d are not read", e.Path, records,
			maxRecords)
	}
	return ""
}

// longRecord bounds what a name takes that may have a record of its own.
func longRecord(name string) int {
	if len(name) < nameSize {
		return 0
	}
	return len(name) + len("/\x00")
}
