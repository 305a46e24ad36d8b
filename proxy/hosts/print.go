package hosts

import (
	"fmt"
	"io"
	"strings"
)

// Print writes a configuration for people to copy from. What several files hold is shown once.
func (c *Config) Print(w io.Writer) error {
	var b strings.Builder
	for _, n := range c.Notes {
		fmt.Fprintf(&b, "# note: %s\n", n)
	}
	shown := map[string]bool{}
	for i, f := range c.Files {
		if shown[f.Content] {
			continue
		}
		shown[f.Content] = true
		fmt.Fprintf(&b, "\n# ---- %s: %s\n", f.Path, f.About)
		for _, other := range c.Files[i+1:] {
			if other.Content == f.Content {
				fmt.Fprintf(&b, "# ---- and %s: %s\n", other.Path, other.About)
			}
		}
		b.WriteString(f.Content)
	}
	for _, f := range c.Snippets {
		fmt.Fprintf(&b, "\n# ---- snippet %s: %s\n%s", f.Path, f.About, f.Content)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
