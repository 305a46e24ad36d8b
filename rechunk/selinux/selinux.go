// Package selinux tells by the policy in an image which label the clients will give to a path (file_contexts(5)). Layers
// carry no labels; bootc sets them when it deploys an image.
//
// A policy comes from an image, so it is hostile: its size, its patterns and the steps of matching them are bounded. What is
// over a bound is an error that wraps ErrPolicy and names it; whoever asks then knows no label.
package selinux

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// ErrPolicy marks a policy that cannot be read, or that costs more than is spent on one.
var ErrPolicy = errors.New("SELinux policy")

// What a policy may cost. Fedora's has 6,000 rules of 500 KB, none longer than 200 bytes; by Debian's, 20,000 files take 61
// million steps and 785 instructions (BenchmarkOf).
const (
	// MaxBytes bounds its files together.
	MaxBytes = 4 << 20
	// MaxRules bounds the rules for one type of file, MaxPattern the bytes of a pattern, and MaxAliases the directories that
	// are labelled like others.
	MaxRules   = 1 << 15
	MaxPattern = 1 << 10
	MaxAliases = 1 << 10
	// MaxProgram bounds the instructions of one compiled pattern, and MaxPrograms those of all that are needed.
	MaxProgram  = 1 << 12
	MaxPrograms = 1 << 19
	// MaxSteps bounds the instructions that matching runs, were each to look at every byte of a path. Not time, on which no
	// layer may depend.
	MaxSteps = 1 << 30
)

// Type is a type of file as file_contexts(5) has it.
type Type string

// The types of file that ostree keeps.
const (
	Regular   Type = "--"
	Directory Type = "-d"
	Symlink   Type = "-l"
)

// Labels are the file contexts of a policy for one type of file. They are not safe for concurrent use.
type Labels struct {
	typ   Type
	rules []rule
	// literals are the last rules for single paths, by the path.
	literals map[string]int32
	// stems are the rules of the patterns whose matches begin with a stem, ascending; lengths are those of the stems,
	// ascending.
	stems   map[string][]int32
	lengths []int
	subs    [2][]alias // the administrator's, and the distribution's
	// bytes, instructions and steps are what was spent.
	bytes, instructions int
	steps               int64
	candidates          []int32
}

// rule is one line of file_contexts.
type rule struct {
	pattern string
	label   string
	program *program // compiled when it is first needed
}

// alias says that what lies in one directory is labelled as if it lay in another.
type alias struct{ from, to string }

// IsPolicy reports whether a path may be one that Read opens.
func IsPolicy(p string) bool {
	p = strings.TrimPrefix(p, "usr/")
	if p == "etc/selinux/config" {
		return true
	}
	ok, err := path.Match("etc/selinux/*/contexts/files/file_contexts*", p)
	return ok && err == nil && !strings.HasSuffix(p, ".bin")
}

// OfObject returns the label that libostree gives to what it commits: that of Of for a path of a tree, in which the root is
// ".", but for rules that say there is none, for the root of a mount that it takes for another (ostree_sepolicy_get_label),
// and for /usr/etc, which is /etc to it (--selinux-labeling-epoch=1).
func (l *Labels) OfObject(p string) (string, error) {
	switch p {
	case ".":
		p = ""
	case "proc":
		p = "mnt"
	}
	if rest, ok := strings.CutPrefix(p, "usr/"); ok && (rest == "etc" || strings.HasPrefix(rest, "etc/")) {
		p = rest
	}
	label, err := l.Of(p)
	if label == "<<none>>" {
		label = ""
	}
	return label, err
}

// Of returns the label of a file by its path, relative to the root; "" when no rule is for it. Rules without
// metacharacters win, then later ones. An error wraps ErrPolicy.
func (l *Labels) Of(p string) (string, error) {
	p = l.aliased("/" + p)
	if i, ok := l.literals[p]; ok {
		return l.rules[i].label, nil
	}
	l.candidates = l.candidates[:0]
	for _, n := range l.lengths {
		if n > len(p) {
			break
		}
		l.candidates = append(l.candidates, l.stems[p[:n]]...)
	}
	if err := l.spend(len(l.subs[0]) + len(l.subs[1]) + lookupSteps*(len(l.lengths)+len(l.candidates)+1)); err != nil {
		return "", err
	}
	slices.Sort(l.candidates)
	for _, i := range slices.Backward(l.candidates) {
		r := &l.rules[i]
		ok, err := l.matches(r, p)
		if err != nil {
			return "", err
		}
		if ok {
			return r.label, nil
		}
	}
	return "", nil
}

// lookupSteps is what looking for rules costs for each length of a stem and each rule, measured in steps.
const lookupSteps = 8

// spend books steps.
func (l *Labels) spend(steps int) error {
	if l.steps += int64(steps); l.steps > MaxSteps {
		return fmt.Errorf("%w: matching its patterns takes more than %d steps", ErrPolicy, int64(MaxSteps))
	}
	return nil
}

// aliased follows an alias of each list.
func (l *Labels) aliased(p string) string {
	for _, subs := range l.subs {
		for _, s := range subs {
			if rest, ok := strings.CutPrefix(p, s.from); ok && (rest == "" || rest[0] == '/') {
				p = s.to + rest
				break
			}
		}
	}
	return p
}

// addRule takes a line: pattern, type of file if it is for one type only, label.
func (l *Labels) addRule(line string) error {
	f := strings.Fields(line)
	if len(f) < 2 || len(f) > 3 {
		return fmt.Errorf("%w: a rule of %d fields", ErrPolicy, len(f))
	}
	if len(f) == 3 && f[1] != string(l.typ) {
		return nil
	}
	if len(l.rules) == MaxRules {
		return fmt.Errorf("%w: more than %d rules", ErrPolicy, MaxRules)
	}
	if len(f[0]) > MaxPattern {
		return fmt.Errorf("%w: a pattern of %d bytes, at most %d are allowed", ErrPolicy, len(f[0]), MaxPattern)
	}
	i := int32(len(l.rules))
	l.rules = append(l.rules, rule{pattern: f[0], label: f[len(f)-1]})
	stem, literal := stemOf(f[0])
	if literal {
		l.literals[stem] = i
		return nil
	}
	// Each length is a look into a table for each path.
	stem = stem[:min(len(stem), 255)]
	if _, known := l.stems[stem]; !known {
		if at, known := slices.BinarySearch(l.lengths, len(stem)); !known {
			l.lengths = slices.Insert(l.lengths, at, len(stem))
		}
	}
	l.stems[stem] = append(l.stems[stem], i)
	return nil
}

// addAlias takes a line: a directory, and the one that it is labelled like.
func (l *Labels) addAlias(list int, line string) error {
	f := strings.Fields(line)
	if len(f) != 2 {
		return nil
	}
	if len(l.subs[0])+len(l.subs[1]) == MaxAliases {
		return fmt.Errorf("%w: more than %d aliases", ErrPolicy, MaxAliases)
	}
	l.subs[list] = append(l.subs[list], alias{f[0], f[1]})
	return nil
}
