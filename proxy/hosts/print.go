package hosts

import (
	"fmt"
	"io"
	"strings"
)

// Print writes a configuration for people to copy from.
func (c *Config) Print(w io.Writer) error {
	var b strings.Builder
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "# note: %s\n", n)
	}
	for _, f := range c.Files {
		fmt.Fprintf(&b, "\n# ---- %s: %s\n%s", f.Path, f.About, f.Content)
	}
	for _, f := range c.Snippets {
		fmt.Fprintf(&b, "\n# ---- snippet %s: %s\n%s", f.Path, f.About, f.Content)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
