package server_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/strata-oci/strata/proxy/server"
	"github.com/strata-oci/strata/proxy/tracing/tracingtest"
)

// Work that no client asked for begins traces of its own: what is pulled ahead, and upkeep.
func TestWorkBeginsTraces(t *testing.T) {
	t.Parallel()
	collector := tracingtest.New(t)
	c := configuration(t)
	c.Tracing.Endpoint, c.Tracing.Share = collector.URL, 1
	t.Run("serve", func(t *testing.T) { // at whose end all is sent
		s, err := server.New(t.Context(), server.Options{Config: c})
		if err != nil {
			t.Fatal(err)
		}
		run(t, s)
		for path, body := range map[string]string{
			"gc": `{}`, "warm?wait=1": `{"references":["nowhere.invalid/os:1"]}`,
		} {
			response, err := http.Post("http://"+s.AdminAddr().String()+"/api/v1/"+path, "application/json",
				strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			_, err = io.Copy(io.Discard, response.Body) // until it is done
			if err = errors.Join(err, response.Body.Close()); err != nil {
				t.Fatal(err)
			}
		}
	})
	tops := map[string]tracingtest.Span{}
	for _, s := range collector.Spans() {
		if s.Parent == "" {
			tops[s.Name] = s
		}
	}
	if s, ok := tops["upkeep gc"]; !ok || s.Failed != "" {
		t.Errorf("gc: %+v", tops)
	}
	if s := tops["warm"]; s.Facts["reference"] != "nowhere.invalid/os:1" || s.Failed == "" {
		t.Errorf("warm: %+v", tops)
	}
}
