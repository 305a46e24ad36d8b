package admin

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/strata-oci/strata/proxy/fleet"
	"github.com/strata-oci/strata/proxy/hosts"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/savings"
	"github.com/strata-oci/strata/proxy/schema"
	"github.com/strata-oci/strata/proxy/upkeep"
	"github.com/strata-oci/strata/proxy/watch"
)

var update = flag.Bool("update", false, "write openapi.json anew")

// operation is one path with its method.
type operation struct {
	route, summary string
	query          []string // names, with "!" behind those that are needed, and what they are behind a blank
	body, answer   any      // documents; nil: none
	status, media  string   // of the answer; "200", "application/json"
	also           string   // another media type of the answer
	takes          string   // the media type of a body whose document is not ours
	everybody      bool     // without a login
	secret         bool     // with one that is not the operators'
}

// operations are the paths that the listener answers, but for pages.
func operations() []operation { return append(forPrograms(), forMachines()...) }

// forMachines are what operators do not ask for themselves: registries do, and go tool pprof.
func forMachines() []operation {
	seconds := []string{"seconds How long to look, at most 60"}
	return []operation{
		{route: "POST " + NotificationsPath, summary: "Take a registry's notification of pushes, as distribution sends them; 404 " +
			"where the configuration has no notifications. Its secret is a bearer token, or the key of GitHub's " +
			"X-Hub-Signature-256.",
			takes: "application/vnd.docker.distribution.events.v2+json", answer: watch.Accepted{},
			status: "202", secret: true},
		{route: "GET /debug/pprof/", summary: "Profiles of the Go runtime. The path goes on with the name of one, such as heap.",
			media: "text/html", query: seconds},
		{route: "GET /debug/pprof/profile", summary: "What the processor does, for go tool pprof.",
			media: "application/octet-stream", query: seconds},
		{route: "GET /debug/pprof/symbol", summary: "The functions at addresses of the program.", media: "text/plain"},
		{route: "GET /debug/pprof/trace", summary: "What goroutines do, for go tool trace.",
			media: "application/octet-stream", query: seconds},
	}
}

func forPrograms() []operation {
	const lines = "application/x-ndjson"
	return []operation{
		{route: "GET /livez", summary: "Whether the process lives.", media: "application/json", everybody: true},
		{route: "GET /readyz", summary: "Whether it can serve clients; 503 while it cannot.", answer: ReadyReport{},
			everybody: true},
		{route: "GET /metrics", summary: "Metrics, as Prometheus reads them.", media: "text/plain"},
		{route: "GET /api/v1/openapi.json", summary: "This document.", media: "application/json"},
		{route: "GET /api/v1/status", summary: "Totals, what is wrong, and how upstreams fare.",
			answer: operate.StatusReport{}},
		{route: "GET /api/v1/repositories", summary: "The repositories and their tags.", answer: RepositoryList{}},
		{route: "GET /api/v1/repositories/{name}",
			summary: "One repository, HOST/PATH, with a :TAG or without, or a family. " +
				"The slashes of the name are slashes of the path.", answer: operate.RepositoryDetail{}},
		{route: "GET /api/v1/jobs", summary: "Jobs at work and those that ended lately.", answer: JobList{}},
		{route: "GET /api/v1/deltas", summary: "Deltas that were made for other Stratas, and layers that came from them.",
			answer: operate.DeltaReport{}},
		{route: "GET /api/v1/updates", summary: "What an update costs, and what is new in it.", answer: operate.Update{},
			query: []string{
				"from! The image before: HOST/PATH:TAG, HOST/PATH@DIGEST or a digest", "to! The image after",
				"platform OS/ARCHITECTURE; without, linux and that of the proxy",
				"contents 1: with packages, changelogs and files", "format markdown: as release notes"}, also: "text/markdown"},
		{route: "GET /api/v1/client-config", summary: "What hosts need to know of the proxy.", answer: hosts.Proxy{}},
		{route: "GET /client-config", summary: "The files that a host needs, to be copied.", media: "text/plain",
			query: []string{
				"host The name that hosts know the proxy by",
				"image An image that the host pulls; may be there several times",
				"no-fallback 1: without the proxy, hosts pull nothing"}},
		{route: "GET /api/v1/fleet", summary: "Which hosts got what, told from pulls, or 404 where hosts are not counted.",
			answer: fleet.Report{}, query: []string{"reference A tag, host/path:tag, to list its hosts",
				"who A host's address, login or certificate's name, to tell what it got"}},
		{route: "GET /api/v1/savings", summary: "What pulls took, and what they would have taken of the sources, by day.",
			answer: savings.Report{}, query: []string{"repository HOST/PATH; without, all"}},
		{route: "POST /api/v1/warm", summary: "Have images fetched and rechunked. With wait=1 the answer is 200 and " +
			lines +
			", a WarmEvent per line.", body: WarmRequest{}, answer: WarmAccepted{}, status: "202",
			query: []string{"wait 1: the answer ends when the work does"}},
		{route: "POST /api/v1/gc", summary: "Remove what nobody needs; 409 while that goes on. The last line has a " +
			"GCReport.", body: GCRequest{},
			answer: UpkeepEvent{}, media: lines},
		{route: "POST /api/v1/scrub", summary: "Read all that is stored; 409 while that goes on. The last line has a ScrubReport.",
			body:   ScrubRequest{},
			answer: UpkeepEvent{}, media: lines},
		{route: "POST /api/v1/prune", summary: "Drop a tag, a repository or a lineage; 404 for an unknown name, 409 for a tag " +
			"that is rolled out. " +
			"The last line has a PruneReport.",
			body: PruneRequest{}, answer: UpkeepEvent{}, media: lines},
		{route: "POST /api/v1/hold", summary: "Keep a tag's versions from reaching more hosts, or 409.",
			body: RolloutRequest{}, answer: operate.RolloutReport{}},
		{route: "POST /api/v1/alerts", summary: "Hold the tags that alerts are about which fire. The body has the form of " +
			"Alertmanager's webhooks, version 4.", body: AlertRequest{}, answer: AlertReport{}, query: []string{
			"reference The tag, host/path:tag; without, each alert's label reference, or its labels repository and tag"}},
		{route: "POST /api/v1/rollback", summary: "Give all hosts the version of a tag again that all had before, or 409.",
			body: RolloutRequest{}, answer: operate.RolloutReport{}},
		{route: "POST /api/v1/release", summary: "Let a tag's roll-out go on, or the tag go back to an earlier image, or 409.",
			body: ReleaseRequest{}, answer: ReleaseReport{}},
		{route: "POST /api/v1/reload", summary: "Take over the configuration anew; 422 where it cannot be used.",
			answer: ReloadReport{}},
	}
}

func maker(closed bool) *schema.Maker {
	m := &schema.Maker{Tag: "json", Refs: "#/components/schemas/", Closed: closed, Known: map[reflect.Type]schema.Schema{
		reflect.TypeFor[json.RawMessage](): {Description: "A GCReport, ScrubReport or PruneReport."},
		reflect.TypeFor[time.Duration]():   {Type: "integer"},
	}, Sources: schema.NewSources("github.com/strata-oci/strata", "../..")}
	for _, v := range documents() {
		m.Of(reflect.TypeOf(v))
	}
	for name, optional := range map[string][]string{
		"GCRequest": {"dry_run"}, "ScrubRequest": {"rate", "keep_damaged_seconds"}, "PruneRequest": {"dry_run"},
	} {
		m.Defs[name].Required = slices.DeleteFunc(m.Defs[name].Required, func(key string) bool {
			return slices.Contains(optional, key)
		})
	}
	return m
}

// documents are all that the paths take and give.
func documents() []any {
	out := []any{errorDocument{}, operate.WarmEvent{}, upkeep.GCReport{}, upkeep.ScrubReport{}, upkeep.PruneReport{}}
	for _, o := range operations() {
		for _, v := range []any{o.body, o.answer} {
			if v != nil {
				out = append(out, v)
			}
		}
	}
	return out
}

// The description is what the types and the table above make of it: go test ./proxy/admin -run TestOpenAPI -update.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	m := maker(false)
	paths := map[string]map[string]any{}
	for _, o := range operations() {
		method, path, _ := strings.Cut(o.route, " ")
		if paths[path] == nil {
			paths[path] = map[string]any{}
		}
		paths[path][strings.ToLower(method)] = o.describe(m)
	}
	if m.Sources.Err != nil {
		t.Fatal(m.Sources.Err)
	}
	document := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{"title": "Strata, the listener for operators", "version": "1",
			"description": "Sizes are bytes, times RFC 3339 in UTC, shares from 0 to 1. Keys stay; new ones may come."},
		"paths": paths,
		"security": []any{map[string]any{"token": []string{}}, map[string]any{"password": []string{}},
			map[string]any{"certificate": []string{}}, map[string]any{}},
		"components": map[string]any{"schemas": m.Defs, "securitySchemes": map[string]any{
			"token":       map[string]any{"type": "http", "scheme": "bearer"},
			"password":    map[string]any{"type": "http", "scheme": "basic"},
			"certificate": map[string]any{"type": "mutualTLS"},
			"notifications": map[string]any{"type": "http", "scheme": "bearer",
				"description": "The secret of notifications in the configuration."},
		}},
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("openapi.json", out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(out.String(), string(OpenAPI)); diff != "" {
		t.Errorf("openapi.json is old, write it with -update (-want +got)\n%s", diff)
	}
}

// refusals are the statuses that requests get before they reach what answers them, and why; "default" stands for all others.
func (o operation) refusals() map[string]string {
	out := map[string]string{"default": "It failed."}
	post := strings.HasPrefix(o.route, "POST ")
	if !o.everybody {
		out["401"] = "Who asks is not known."
	}
	if !o.everybody && !o.secret {
		out["403"] = "The listener has no such name, or a page of another site asks."
	}
	if post && o.secret {
		out["415"] = "The Content-Type is no JSON."
	} else if post {
		out["415"] = "The Content-Type is not application/json. It is needed where no body is, too."
	}
	return out
}

func (o operation) describe(m *schema.Maker) map[string]any {
	ref := func(v any) any { return map[string]any{"schema": m.Of(reflect.TypeOf(v))} }
	answer := map[string]any{"description": "Done."}
	media, status := o.media, o.status
	if media == "" {
		media = "application/json"
	}
	if status == "" {
		status = "200"
	}
	answer["content"] = map[string]any{media: map[string]any{}}
	if o.answer != nil {
		answer["content"] = map[string]any{media: ref(o.answer)}
	}
	if o.also != "" {
		answer["content"].(map[string]any)[o.also] = map[string]any{}
	}
	responses := map[string]any{status: answer}
	for status, why := range o.refusals() {
		responses[status] = map[string]any{"description": why,
			"content": map[string]any{"application/json": ref(errorDocument{})}}
	}
	out := map[string]any{"summary": o.summary, "responses": responses}
	if strings.Contains(o.route, "/warm") {
		out["responses"].(map[string]any)["200"] = map[string]any{"description": "With wait=1.",
			"content": map[string]any{"application/x-ndjson": ref(operate.WarmEvent{})}}
	}
	if o.everybody {
		out["security"] = []any{}
	}
	if o.secret {
		out["security"] = []any{map[string]any{"notifications": []string{}}}
	}
	if o.body != nil {
		out["requestBody"] = map[string]any{"required": true, "content": map[string]any{"application/json": ref(o.body)}}
	}
	if o.takes != "" {
		object := map[string]any{"schema": map[string]any{"type": "object"}}
		out["requestBody"] = map[string]any{"required": true, "content": map[string]any{o.takes: object}}
	}
	var parameters []any
	if strings.Contains(o.route, "{name}") {
		parameters = append(parameters, map[string]any{"name": "name", "in": "path", "required": true,
			"schema": map[string]any{"type": "string", "maxLength": maxName}})
	}
	for _, q := range o.query {
		name, about, _ := strings.Cut(q, " ")
		needed := strings.HasSuffix(name, "!")
		parameters = append(parameters, map[string]any{"name": strings.TrimSuffix(name, "!"), "in": "query",
			"required":    needed,
			"description": about + ".", "schema": map[string]any{"type": "string"}})
	}
	if parameters != nil {
		out["parameters"] = parameters
	}
	return out
}

// pageRoutes are those of the pages, which are for people.
var pageRoutes = []string{
	"GET /{$}", "GET /repositories", "GET /repositories/{name...}", "GET /versions/{digest}", "GET /jobs", "GET /fleet",
	"GET /deltas", "GET /setup", "GET /events", "GET /login", "POST /login", "POST /logout", "POST /do/{action}",
	"GET /assets/{name}",
}

// Each path that is served is described, but for those of the pages, and the other way round.
func TestOpenAPIHasRoutes(t *testing.T) {
	t.Parallel()
	h := New(Options{Gatherer: prometheus.NewRegistry()})
	defer h.Close()
	var served, described []string
	for _, path := range h.paths {
		if !slices.Contains(pageRoutes, path) {
			served = append(served, strings.ReplaceAll(path, "...}", "}"))
		}
	}
	served = append(served, "POST "+NotificationsPath) // which stands before the others
	for _, o := range operations() {
		described = append(described, o.route)
	}
	slices.Sort(served)
	slices.Sort(described)
	if diff := cmp.Diff(served, described); diff != "" {
		t.Errorf("(-served +described)\n%s", diff)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1/api/v1/openapi.json", nil))
	if w.Code != http.StatusOK || !bytes.Equal(w.Body.Bytes(), OpenAPI) {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
}

// What guards say is described for each path: to who is not known, under a name that the listener does not have, and to what
// is not sent as JSON.
func TestOpenAPIHasRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		login     Login
		url, kind string
		want      int
	}{
		"without a login":     {token("secret"), base, "application/json", http.StatusUnauthorized},
		"under another name":  {nil, "http://evil.example", "application/json", http.StatusForbidden},
		"as a form":           {nil, base, "application/x-www-form-urlencoded", http.StatusUnsupportedMediaType},
		"without a type":      {nil, base, "", http.StatusUnsupportedMediaType},
		"as JSON, with login": {nil, base, "application/json", 0},
	} {
		h := New(Options{Status: fakeStatus{}, Login: c.login, Gatherer: prometheus.NewRegistry()})
		for _, o := range operations() {
			method, path, _ := strings.Cut(o.route, " ")
			if o.secret || strings.HasPrefix(path, "/debug/pprof/") && c.want == 0 { // they take their time
				continue
			}
			r := httptest.NewRequest(method, c.url+strings.ReplaceAll(path, "{name}", "a/b"), strings.NewReader("{}"))
			r.Header.Set("Content-Type", c.kind)
			w := httptest.NewRecorder()
			if c.want == http.StatusUnsupportedMediaType && method != http.MethodPost {
				continue
			}
			h.ServeHTTP(w, r)
			_, described := o.refusals()[strconv.Itoa(w.Code)]
			switch {
			case c.want == 0 && (w.Code == http.StatusUnauthorized || w.Code == http.StatusUnsupportedMediaType):
				t.Errorf("%s: %s: status %d", name, o.route, w.Code)
			case c.want != 0 && !o.everybody && (w.Code != c.want || !described):
				t.Errorf("%s: %s: status %d, described: %t, want %d", name, o.route, w.Code, described, c.want)
			case c.want != 0 && o.everybody && w.Code == c.want:
				t.Errorf("%s: %s is for everybody: status %d", name, o.route, w.Code)
			}
		}
		h.Close()
	}
}

// Whatever a document may hold is described: each key, with its kind.
func TestOpenAPIHasFields(t *testing.T) {
	t.Parallel()
	m := maker(true)
	document, err := json.Marshal(map[string]any{"components": map[string]any{"schemas": m.Defs}})
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("openapi.json", parsed); err != nil {
		t.Fatal(err)
	}
	for _, v := range documents() {
		name := strings.TrimPrefix(m.Of(reflect.TypeOf(v)).Ref, m.Refs)
		s, err := c.Compile("openapi.json#/components/schemas/" + name)
		if err != nil {
			t.Fatal(err)
		}
		full := reflect.New(reflect.TypeOf(v)).Elem()
		fill(full)
		b, err := json.Marshal(full.Interface())
		if err != nil {
			t.Fatal(err)
		}
		got, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(got); err != nil {
			t.Errorf("%s: %v\n%s", name, err, b)
		}
	}
}

// fill sets all fields, and makes one element in each list and map.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1_700_000_000, 0).UTC()))
			return
		}
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[json.RawMessage]() {
			v.SetBytes([]byte("{}"))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		element := reflect.New(v.Type().Elem()).Elem()
		fill(element)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key").Convert(v.Type().Key()), element)
	case reflect.String:
		v.SetString("done")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float64:
		v.SetFloat(0.5)
	}
}

// Every path of the API takes the parameters that its description has, and no others.
func TestQueriesAreDescribed(t *testing.T) {
	t.Parallel()
	_, s := serve(t, Options{})
	for _, o := range operations() {
		method, path, _ := strings.Cut(o.route, " ")
		if o.secret || !strings.HasPrefix(path, "/api/") && path != "/client-config" {
			continue
		}
		path = strings.ReplaceAll(path, "{name}", "ghcr.io/a/b")
		ask := func(query string) string {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path+query, strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			answer, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			b, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		for _, q := range o.query {
			key, _, _ := strings.Cut(q, " ")
			if got := ask("?" + strings.TrimSuffix(key, "!") + "=1"); strings.Contains(got, "is no parameter here") {
				t.Errorf("%s: %s: %s", o.route, key, got)
			}
		}
		if got := ask("?zzz=1"); !strings.Contains(got, `\"zzz\" is no parameter here`) {
			t.Errorf("%s takes anything: %s", o.route, got)
		}
	}
}
