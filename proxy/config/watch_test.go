package config

import (
	"strings"
	"testing"
	"time"
)

func TestWatchProblems(t *testing.T) {
	t.Parallel()
	const rule = "repositories:\n- match: ghcr.io/a/b\n  "
	for text, want := range map[string]string{
		rule + "watch: {interval: 15m}":                             "repositories[0].watch.tags: is empty",
		rule + "watch: {tags: [a]}":                                 "repositories[0].watch.interval: is missing",
		rule + "watch: {interval: 1s, tags: [a]}":                   "repositories[0].watch.interval: 1s is shorter than the limit of 1m0s",
		rule + "watch: {interval: 15m, tags: ['a[', 'b:c']}":        `repositories[0].watch.tags[0]: "a[" is neither a tag nor a pattern`,
		"notifications: {secret: hunter2hunter2h, secret_file: /s}": "notifications.secret_file: is set together with secret",
	} {
		if _, _, err := parse("c.yml", []byte(text), nil); err == nil || !strings.Contains(err.Error(), want) ||
			strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

func TestWatch(t *testing.T) {
	t.Parallel()
	c, warnings, err := parse("c.yml", []byte(
		"repositories:\n- match: ghcr.io/a/*\n  watch: {interval: 15m, tags: [stable, '4?']}\n- match: ghcr.io/b/c\nnotifications: {secret: short}\n"), nil)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "notifications.secret: is short") ||
		strings.Contains(warnings[0], `"short"`) {
		t.Fatal(err, warnings)
	}
	w := c.Rule("ghcr.io/a/os").Watch
	if !w.Enabled() || time.Duration(w.Interval) != 15*time.Minute || len(w.Tags) != 2 ||
		c.Rule("ghcr.io/b/c").Watch.Enabled() {
		t.Errorf("watch %+v", w)
	}
	if a, b := c.Repositories[0].Literal(), c.Repositories[1].Literal(); a != "" || b != "ghcr.io/b/c" {
		t.Errorf("literal %q, %q", a, b)
	}
	if s, err := c.Notifications.ReadSecret(); s != "short" || err != nil || !c.Notifications.Enabled() {
		t.Errorf("secret %q, %v", s, err)
	}
}
