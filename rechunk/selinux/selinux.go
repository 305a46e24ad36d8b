// Package selinux tells by the policy in an image which label the clients will give to a path (file_contexts(5)). Layers carry
// no labels; bootc sets them when it deploys an image.
package selinux

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
)

// ErrPolicy marks a policy that cannot be read.
var ErrPolicy = errors.New("SELinux policy")

// Limits of a policy; Fedora's has 6,000 rules.
const (
	maxBytes = 16 << 20
	maxRules = 200_000
)

// Labels are the file contexts of a policy. They are not safe for concurrent use.
type Labels struct {
	rules []rule
	subs  [2][]alias // the administrator's, and the distribution's
}

// rule is one line of file_contexts for regular files.
type rule struct {
	stem    string // what every path that matches begins with
	pattern string
	literal bool // the stem is all of it
	re      *regexp.Regexp
	label   string
}

// alias says that what lies in one directory is labelled as if it lay in another.
type alias struct{ from, to string }

// Open gives a file of an image by its path; one that does not exist is a nil reader.
type Open func(path string) (io.ReadCloser, error)

// Read reads the labels of an image's policy: the one that etc/selinux/config names, in etc or usr/etc. An image without one has
// no labels: nil.
func Read(open Open) (*Labels, error) {
	for _, etc := range []string{"etc", "usr/etc"} {
		name, err := policyName(open, etc+"/selinux/config")
		if err != nil {
			return nil, err
		}
		if name == "" {
			continue
		}
		l, err := readPolicy(open, etc+"/selinux/"+name+"/contexts/files/file_contexts")
		if l != nil || err != nil {
			return l, err
		}
	}
	return nil, nil
}

// IsPolicy reports whether a path may be one that Read opens.
func IsPolicy(p string) bool {
	p = strings.TrimPrefix(p, "usr/")
	if p == "etc/selinux/config" {
		return true
	}
	ok, err := path.Match("etc/selinux/*/contexts/files/file_contexts*", p)
	return ok && err == nil && !strings.HasSuffix(p, ".bin")
}

// policyName returns the value of SELINUXTYPE, or "".
func policyName(open Open, name string) (out string, err error) {
	err = lines(open, name, func(line string) error {
		if v, ok := strings.CutPrefix(line, "SELINUXTYPE="); ok {
			out = strings.TrimSpace(v)
		}
		return nil
	})
	if strings.ContainsAny(out, "/\x00") || out == ".." {
		return "", fmt.Errorf("%w: %s: the type %q is no name", ErrPolicy, name, out)
	}
	return out, err
}

// readPolicy reads file_contexts and what belongs to it. In the order of libselinux, later rules win.
func readPolicy(open Open, base string) (*Labels, error) {
	l := &Labels{}
	for _, suffix := range []string{"", ".homedirs", ".local"} {
		if err := lines(open, base+suffix, l.addRule); err != nil {
			return nil, err
		}
	}
	for i, suffix := range []string{".subs", ".subs_dist"} {
		err := lines(open, base+suffix, func(line string) error {
			if f := strings.Fields(line); len(f) == 2 {
				l.subs[i] = append(l.subs[i], alias{f[0], f[1]})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(l.rules) == 0 {
		return nil, nil
	}
	return l, nil
}

// lines calls do for every line of a file that holds something.
func lines(open Open, name string, do func(line string) error) error {
	r, err := open(name)
	if r == nil || err != nil {
		return err
	}
	defer r.Close()
	in := &io.LimitedReader{R: r, N: maxBytes}
	s := bufio.NewScanner(in)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			if err := do(line); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrPolicy, name, err)
	}
	if in.N == 0 {
		return fmt.Errorf("%w: %s is larger than %d bytes", ErrPolicy, name, maxBytes)
	}
	return nil
}

// addRule takes a line: pattern, type of file if it is for one type only, label.
func (l *Labels) addRule(line string) error {
	f := strings.Fields(line)
	if len(f) < 2 || len(f) > 3 {
		return fmt.Errorf("%w: a rule of %d fields", ErrPolicy, len(f))
	}
	if len(f) == 3 && f[1] != "--" {
		return nil
	}
	if len(l.rules) == maxRules {
		return fmt.Errorf("%w: more than %d rules", ErrPolicy, maxRules)
	}
	stem, literal := stemOf(f[0])
	l.rules = append(l.rules, rule{stem: stem, pattern: f[0], literal: literal, label: f[len(f)-1]})
	return nil
}

// stemOf returns what a path begins with if a pattern matches it, and whether that is the whole pattern.
func stemOf(pattern string) (stem string, literal bool) {
	var b []byte
	for i := 0; i < len(pattern); i++ {
		c := pattern[i]
		switch {
		case c == '\\' && i+1 < len(pattern) && !isWord(pattern[i+1]):
			i++
			b = append(b, pattern[i])
		case strings.IndexByte(`.^$?*+|[({\`, c) >= 0:
			if strings.IndexByte("?*{", c) >= 0 && len(b) > 0 {
				b = b[:len(b)-1] // it need not be there
			}
			if alternatives(pattern[i:]) {
				return "", false
			}
			return strings.ToValidUTF8(string(b), ""), false
		default:
			b = append(b, c)
		}
	}
	return string(b), true
}

// isWord reports whether a backslash before c makes a class of it.
func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// alternatives reports whether there may be a | outside of parentheses.
func alternatives(pattern string) bool {
	depth := 0
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
		case '|':
			if depth <= 0 {
				return true
			}
		}
	}
	return false
}

// Of returns the label of a regular file by its path, relative to the root; "" when no rule is for it. Rules without
// metacharacters win, then later ones.
func (l *Labels) Of(p string) (string, error) {
	p = "/" + p
	for _, subs := range l.subs {
		for _, s := range subs {
			if rest, ok := strings.CutPrefix(p, s.from); ok && (rest == "" || rest[0] == '/') {
				p = s.to + rest
				break
			}
		}
	}
	label := ""
	for i := len(l.rules) - 1; i >= 0; i-- {
		r := &l.rules[i]
		if r.literal && r.stem == p {
			return r.label, nil
		}
		if label != "" || r.literal || !strings.HasPrefix(p, r.stem) {
			continue
		}
		ok, err := r.matches(p)
		if err != nil {
			return "", err
		}
		if ok {
			label = r.label
		}
	}
	return label, nil
}

func (r *rule) matches(p string) (bool, error) {
	if r.re == nil {
		var err error
		if r.re, err = regexp.Compile("^(?:" + r.pattern + ")$"); err != nil {
			return false, fmt.Errorf("%w: %w", ErrPolicy, err)
		}
	}
	return r.re.MatchString(p), nil
}
