package pkgdb

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/tree"
)

// The extended attributes with which an image's author names components, as rpm-ostree and chunkah read them.
const (
	xattrComponent = "user.component"
	xattrInterval  = "user.update-interval"
)

const secondsPerDay = 24 * 60 * 60

// maxIntervalDays is the longest update interval that is believed.
const maxIntervalDays = 36500

// custom assigns entries to the components that extended attributes name. A directory's name holds for everything below it
// that has no other; an interval holds for the component as a whole.
type custom struct {
	components *components
	warn       func(line string)
	// inherited returns the custom component of a directory that came before.
	inherited func(dir string) (int32, bool)
	// seen says whether any directory has one.
	seen bool
}

// component returns the component of an entry; it must be called in the order of the tree.
func (c *custom) component(e *tree.Entry) (int32, bool) {
	i, ok := c.own(e)
	if !ok && c.seen && e.Path != "." {
		i, ok = c.inherited(tree.Parent(e.Path))
	}
	if !ok {
		return 0, false
	}
	c.seen = c.seen || e.Kind == tree.Dir
	if s, set := e.Xattr(xattrInterval); set {
		c.interval(i, s)
	}
	return i, true
}

// own returns the component that the entry itself names.
func (c *custom) own(e *tree.Entry) (int32, bool) {
	if len(e.Xattrs) == 0 {
		return 0, false
	}
	name, ok := e.Xattr(xattrComponent)
	if !ok {
		return 0, false
	}
	// Some tools store the terminating NUL of the name along.
	name = strings.TrimSpace(strings.TrimRight(name, "\x00"))
	if name == "" || len(name) > installed.MaxName {
		c.warn(fmt.Sprintf("%s: %s of %d bytes, 1 to %d are allowed", e.Path, xattrComponent, len(name), installed.MaxName))
		return 0, false
	}
	i := c.components.get("custom/"+printable(name), Custom)
	return i, c.components.list[i].Kind == Custom
}

// interval sets a component's update interval. If its files disagree, the shortest counts.
func (c *custom) interval(i int32, value string) {
	seconds, ok := parseInterval(value)
	p := &c.components.list[i]
	if !ok {
		c.warn(fmt.Sprintf("%s: %s %.40q is neither a number of days nor a known word", p.ID, xattrInterval, value))
		return
	}
	if p.Interval == 0 || seconds < p.Interval {
		p.Interval = seconds
	}
}

// parseInterval returns the seconds of an interval: a positive number of days or one of chunkah's words.
func parseInterval(value string) (int64, bool) {
	value = strings.ToLower(strings.TrimSpace(strings.TrimRight(value, "\x00")))
	days := 0
	switch value {
	case "daily":
		days = 1
	case "weekly":
		days = 7
	case "biweekly":
		days = 14
	case "monthly":
		days = 30
	case "quarterly":
		days = 90
	case "yearly":
		days = 365
	default:
		n, err := strconv.Atoi(value)
		if err != nil || n <= 0 || n > maxIntervalDays {
			return 0, false
		}
		days = n
	}
	return int64(days) * secondsPerDay, true
}
