package jobs

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-oci/strata/rechunk"
)

// A job says that it begins, and how far it is every ten seconds, until it ends.
func TestTell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		q := &Queue{Options: Options{Logger: slog.New(slog.NewTextHandler(&out, nil)), Now: time.Now}}
		j := &job{source: source{platform: "linux/arm64"}, id: 7, now: time.Now}
		j.begin(time.Now())
		stop := q.tell(t.Context(), j)
		time.Sleep(11 * time.Second)
		j.note(rechunk.Progress{Phase: "fetch", Done: 5, Total: 9})
		time.Sleep(10 * time.Second)
		stop()
		time.Sleep(time.Minute)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		want := []string{`msg="rechunking begins" job=7`, `msg=rechunking job=7`, `phase=fetch done_bytes=5 total_bytes=9 seconds=20`}
		if len(lines) != len(want) {
			t.Fatalf("got %d lines:\n%s", len(lines), out.String())
		}
		for i, line := range lines {
			if !strings.Contains(line, want[i]) || !strings.Contains(line, "level=INFO") ||
				!strings.Contains(line, "platform=linux/arm64") {
				t.Errorf("line %d: %s, want %s", i, line, want[i])
			}
		}
	})
}
