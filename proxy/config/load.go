package config

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/strata-oci/strata/rechunk/legible"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Where is the place: "file:line:column", "file", "environment variable NAME" or "default".
	Where string
	// Key is the path of the key, such as "repositories[0].max_layers"; empty when the problem is no key's.
	Key string
	// Message says what is wrong and what to do.
	Message string
}

// String returns the problem on one line.
func (p Problem) String() string {
	if p.Key == "" {
		return p.Where + ": " + p.Message
	}
	key := p.Key
	if !legible.Plain(key) {
		key = quote(key)
	}
	return p.Where + ": " + key + ": " + p.Message
}

// Error holds everything that is wrong with a configuration: first what cannot be read, then what cannot be meant.
type Error struct{ Problems []Problem }

// maxShown bounds the lines of an error's text.
const maxShown = 50

// Error returns the first problems, one a line, and how many more there are.
func (e *Error) Error() string {
	if more := len(e.Problems) - maxShown; more > 0 {
		return strings.Join(append(lines(e.Problems[:maxShown]), fmt.Sprintf("and %d more", more)), "\n")
	}
	return strings.Join(lines(e.Problems), "\n")
}

func lines(problems []Problem) []string {
	var text []string
	for _, p := range problems {
		text = append(text, p.String())
	}
	return text
}

// Load reads the configuration file at path, or none if path is empty, and overrides it with environ, which is in the form
// of os.Environ. Warnings are settings that are allowed but likely not meant, one line each. An error about contents is an
// *Error. Relative paths are those of the working directory; in c all are absolute.
func Load(path string, environ []string) (c *Config, warnings []string, err error) {
	var data []byte
	if path != "" {
		if data, err = read(path); err != nil {
			return nil, nil, fmt.Errorf("configuration: %w", err)
		}
	}
	return parse(path, data, environ)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1)) // parse reports one that is too long
}

func parse(file string, data []byte, environ []string) (*Config, []string, error) {
	c := Default()
	origins, problems := decode(file, data, c)
	problems = append(problems, applyEnv(c, environ, origins)...)
	c.closeDefaultUpstream(origins)
	problems = append(problems, c.absolute()...)
	v := &validator{origins: origins}
	v.config(c)
	for _, p := range v.problems {
		if !reported(problems, p) {
			problems = append(problems, p)
		}
	}
	if len(problems) > 0 {
		return nil, nil, &Error{problems}
	}
	return c, lines(v.warnings), nil
}

// closeDefaultUpstream takes the meaning from names without a registry when upstreams lists some, nobody asked for a
// default, and the usual one is not among those that the configuration names: whoever lists registries wants no others.
func (c *Config) closeDefaultUpstream(origins map[string]string) {
	if origins["default_upstream"] != "" || c.AnyUpstream() {
		return
	}
	usual := c.DefaultUpstream
	c.DefaultUpstream = ""
	if slices.Contains(c.Hosts(), usual) {
		c.DefaultUpstream = usual
	}
}

// reported tells whether a key is known to be wrong already, so that one mistake gives one message.
func reported(problems []Problem, p Problem) bool {
	for _, other := range problems {
		if other.Key != "" && (other.Key == p.Key || strings.HasPrefix(p.Key, other.Key+".")) {
			return true
		}
	}
	return false
}
