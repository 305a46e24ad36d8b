package access

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Wrong logins are told of, and a flood of them is no flood of lines.
func TestRefusals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		counted := map[string]int{}
		f := NewRefusals(slog.New(slog.NewTextHandler(&log, nil)), func(way string) { counted[way]++ })
		from := func(address string) *http.Request {
			return request(func(r *http.Request) { r.RemoteAddr = address })
		}
		lines := func() []string {
			synctest.Wait()
			defer log.Reset()
			return strings.Split(strings.TrimSpace(log.String()), "\n")
		}
		f.Note(from("10.0.0.1:4000"), "token")
		first := lines()
		if len(first) != 1 || !strings.Contains(first[0], "level=WARN") ||
			!strings.Contains(first[0], "address=10.0.0.1 way=token") || strings.Contains(first[0], "4000") {
			t.Errorf("%q", first)
		}
		for i := range 500 {
			f.Note(from(fmt.Sprint("10.0.0.1:", i)), []string{"token", "password"}[i%2])
		}
		if got := lines(); got[0] != "" {
			t.Errorf("%q", got)
		}
		time.Sleep(tellAgain + time.Second)
		if got := lines(); len(got) != 1 || !strings.Contains(got[0], `address=10.0.0.1 ways="[token password]" times=500`) {
			t.Errorf("%q", got)
		}
		time.Sleep(tellAgain + time.Second)
		for i := range 3 * maxTold {
			f.Note(from(fmt.Sprintf("10.1.%d.%d:1", i/256, i%256)), "page")
		}
		if got := lines(); len(got) != maxTold+1 || !strings.Contains(got[maxTold], "address=others") {
			t.Errorf("%d lines: %q", len(got), got[len(got)-1])
		}
		time.Sleep(tellAgain + time.Second)
		others := fmt.Sprint("address=others ways=[page] times=", 2*maxTold-1)
		if got := lines(); len(got) != 1 || !strings.Contains(got[0], others) {
			t.Errorf("%q", got)
		}
		time.Sleep(tellAgain + time.Second)
		if len(f.told) > 0 {
			t.Errorf("%d addresses are remembered", len(f.told))
		}
		if counted["token"] != 251 || counted["password"] != 250 || counted["page"] != 3*maxTold {
			t.Errorf("%v", counted)
		}
		f.Note(from("@"), "token")
		if got := lines(); !strings.Contains(got[0], "address=socket") {
			t.Errorf("%q", got)
		}
		time.Sleep(tellAgain)
	})
}
