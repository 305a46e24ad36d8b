package config

import (
	"bytes"
	"encoding"
	"encoding/json"
	"flag"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/strata-oci/strata/proxy/schema"
)

var update = flag.Bool("update", false, "write schema.json anew")

// The schema is what the types and their comments make of it: go test ./proxy/config -run TestSchema -update.
func TestSchema(t *testing.T) {
	t.Parallel()
	want := makeSchema(t)
	if *update {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), Schema); diff != "" {
		t.Errorf("schema.json is old, write it with -update (-want +got)\n%s", diff)
	}
}

func makeSchema(t *testing.T) []byte {
	t.Helper()
	m := &schema.Maker{
		Tag: "yaml", Refs: "#/$defs/", Closed: true, Nullable: true, Known: knownTypes(),
		Sources: schema.NewSources("github.com/strata-oci/strata", "../.."),
	}
	m.Of(reflect.TypeFor[Config]())
	if m.Sources.Err != nil {
		t.Fatal(m.Sources.Err)
	}
	for _, v := range []any{*Default(), DefaultRule(), DefaultUpstreamSettings()} {
		setDefaults(m, reflect.ValueOf(v))
	}
	root := *m.Defs["Config"]
	delete(m.Defs, "Config")
	root.Dialect, root.Title, root.Defs = schema.Dialect, "Strata's configuration", m.Defs
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// knownTypes are those with a form of their own.
func knownTypes() map[reflect.Type]schema.Schema {
	unit := func(pattern string, examples ...string) schema.Schema {
		return schema.Schema{Type: []string{"string", "integer"}, Pattern: pattern, Examples: examples}
	}
	size := `[0-9][0-9.,]* ?(?:[kKmMgGtTpPeE][iI]?)?[bB]?`
	out := map[reflect.Type]schema.Schema{
		reflect.TypeFor[Duration]():    unit(`^-?(?:0|(?:[0-9.]+(?:ns|us|µs|ms|s|m|h|d))+)$`, "60s", "15m", "24h", "7d"),
		reflect.TypeFor[ByteSize]():    unit(`^`+size+`$`, "64MiB", "200GB"),
		reflect.TypeFor[Bandwidth]():   unit(`^(?:0|`+size+`/s)$`, "50MB/s"),
		reflect.TypeFor[Rate]():        unit(`^(?:0|[0-9.]+ ?/ ?[smh])$`, "10/s", "300/m", "5000/h"),
		reflect.TypeFor[Percent]():     {Type: "string", Pattern: `^-?[0-9.]+ ?%$`, Examples: []string{"10%"}},
		reflect.TypeFor[Step]():        {Type: "string", Examples: []string{"5% at 24h"}},
		reflect.TypeFor[Requirement](): {Type: "string", Examples: []string{"95% of the step seen again within 2h"}},
		reflect.TypeFor[Secret]():      {Type: []string{"string", "number"}},
		reflect.TypeFor[HostList]():    {Type: "array", Items: &schema.Schema{Type: "string"}},
		reflect.TypeFor[slog.Level]():  {Type: "string", Enum: []any{"debug", "info", "warn", "error"}},
	}
	format := schema.Schema{Type: "string"}
	for _, f := range Formats() {
		format.Enum = append(format.Enum, string(f))
	}
	out[reflect.TypeFor[Format]()] = format
	out[reflect.TypeFor[Compression]()] = schema.Schema{Type: "string", Enum: []any{"zstd", "gzip"}}
	storage := schema.Schema{Type: "object", Properties: map[string]*schema.Schema{}, Additional: false}
	for _, driver := range storageDrivers() {
		storage.Properties[driver] = &schema.Schema{Type: []string{"object", "null"},
			Description: "Parameters of distribution's storage driver " + driver + "."}
	}
	out[reflect.TypeFor[Storage]()] = storage
	return out
}

// setDefaults adds the values of a struct, and of those in it, as defaults.
func setDefaults(m *schema.Maker, v reflect.Value) {
	def := m.Defs[v.Type().Name()]
	for i := range v.NumField() {
		field, key := v.Field(i), v.Type().Field(i).Tag.Get("yaml")
		text, _ := field.Interface().(encoding.TextMarshaler)
		switch {
		case field.Type() == reflect.TypeFor[Storage]() || field.Type() == reflect.TypeFor[Secret]():
		case text != nil:
			b, err := text.MarshalText()
			if err == nil && len(b) > 0 {
				def.Properties[key].Default = short(string(b))
			}
		case field.Kind() == reflect.Struct:
			setDefaults(m, field)
		case field.Kind() == reflect.String && !field.IsZero(), field.Kind() == reflect.Int, field.Kind() == reflect.Bool:
			def.Properties[key].Default = field.Interface()
		}
	}
}

// short writes a value as people do: 2m for 2m0s, 48h for 48h0m0s, info for INFO.
func short(text string) string {
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	if text == slog.LevelInfo.String() {
		text = strings.ToLower(text)
	}
	return text
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

func againstSchema(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	b, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(document)
}

// The example is valid as it is, and with all keys that it shows, which are all there are.
func TestSchemaTakesExample(t *testing.T) {
	t.Parallel()
	s, example := compileSchema(t), readExample(t)
	for name, text := range map[string][]byte{"as it is": example, "with every key": uncomment(example)} {
		if err := againstSchema(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !bytes.HasPrefix(example, []byte("# yaml-language-server: $schema=proxy/config/schema.json\n")) {
		t.Error("the example does not name the schema in its first line")
	}
}

// What Load refuses as a key or a value's form, editors show.
func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	s := compileSchema(t)
	for _, text := range []string{
		"lisen: x", "jobs: many", "admin: [1]", "repositories: {}", "log: {level: loud}", "shutdown_timeout: 30x",
		"quota: much",
		"repositories: [{match: '**', max_stale: 10}]", "repositories: [{match: '**', compression: lz4}]",
		"upstreams: {ghcr.io: {insecure: 'yes'}}", "upstreams: {ghcr.io: {user: me}}", "storage: {floppy: {}}",
		"upstreams: {ghcr.io: {rate: 5/d}}", "repositories: [{match: '**', rechunk: sometimes}]", "deltas: {prefer: both}",
	} {
		if err := againstSchema(t, s, []byte(text)); err == nil {
			t.Errorf("%s: is taken", text)
		}
		if _, _, err := parse("c.yml", []byte(text), nil); err == nil {
			t.Errorf("%s: Load takes it", text)
		}
	}
	for _, text := range []string{
		"quota: 0", "quota: 200GB", "upstreams:", "upstreams: {ghcr.io: }",
		"upstreams: {ghcr.io: {username: me, password: 0123}}",
		"shutdown_timeout: 1h30m", "upstreams: {ghcr.io: {rate: 300/m, bandwidth: 50MB/s}}", "storage: {inmemory: }",
	} {
		if err := againstSchema(t, s, []byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if _, _, err := parse("c.yml", []byte(text), nil); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
