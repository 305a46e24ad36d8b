package config

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// Watch says which tags of a repository are looked at before clients ask, and how often.
type Watch struct {
	// Interval is the time between two looks; 0 looks at none.
	Interval Duration `yaml:"interval"`
	// Tags are names, and patterns with *, ? and [a-z].
	Tags []string `yaml:"tags"`
}

// Enabled reports whether anything is watched.
func (w Watch) Enabled() bool { return w.Interval > 0 && len(w.Tags) > 0 }

// Literal returns the one repository that a rule's match stands for, or nothing when it stands for several.
func (r Rule) Literal() string {
	if strings.ContainsAny(r.Match, `*?[\`) || !strings.Contains(r.Match, "/") {
		return ""
	}
	return r.Match
}

// Notifications are what registries tell of pushes. Without a secret none are taken.
type Notifications struct {
	// Secret is what a registry has to know.
	Secret Secret `yaml:"secret"`
	// SecretFile is a file that holds it; a line break at its end does not count.
	SecretFile string `yaml:"secret_file"`
}

// Enabled reports whether notifications are taken.
func (n Notifications) Enabled() bool { return !n.Secret.IsZero() || n.SecretFile != "" }

// ReadSecret returns the secret.
func (n Notifications) ReadSecret() (string, error) {
	if n.SecretFile == "" {
		return n.Secret.Reveal(), nil
	}
	const key = "notifications.secret_file"
	secret, err := readSecret(key, n.SecretFile)
	if err == nil && secret == "" {
		err = fmt.Errorf("%s: %s is empty: write a secret into it", key, n.SecretFile)
	}
	return secret, err
}

const (
	shortestWatch = time.Minute
	mostTags      = 100
)

func (v *validator) watch(key string, w Watch) {
	v.duration(key+".interval", w.Interval, true)
	if w.Interval > 0 && time.Duration(w.Interval) < shortestWatch {
		v.problem(key+".interval", "%s is shorter than the limit of %s", w.Interval, Duration(shortestWatch))
	}
	switch {
	case w.Interval > 0 && len(w.Tags) == 0:
		v.problem(key+".tags", "is empty: name the tags to watch, such as [stable, latest]")
	case w.Interval == 0 && len(w.Tags) > 0:
		v.problem(key+".interval", "is missing: write a time such as 15m")
	case len(w.Tags) > mostTags:
		v.problem(key+".tags", "has %d tags and patterns, more than the limit of %d", len(w.Tags), mostTags)
	}
	for i, tag := range w.Tags {
		if _, err := path.Match(tag, ""); err != nil || tag == "" || len(tag) > longestName ||
			strings.ContainsAny(tag, "/:@ ") {
			v.problem(key+".tags["+strconv.Itoa(i)+"]", "%s is neither a tag nor a pattern of tags", quote(tag))
		}
	}
}

func (v *validator) notifications(n Notifications) {
	if !n.Secret.IsZero() && n.SecretFile != "" {
		v.problem("notifications.secret_file", "is set together with secret: keep one")
	}
	if s := n.Secret.Reveal(); s != "" && len(s) < 16 {
		v.warning("notifications.secret", "is short, so it can be guessed: write 16 characters or more")
	}
}
