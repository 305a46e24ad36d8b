package image

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Difference is one between what two images say about how they are run.
type Difference struct {
	// Field is the member of the config, "config.Env" or "architecture"; of labels, ports and volumes with the one that
	// differs: "config.Labels.version".
	Field string `json:"field"`
	// A and B are the values as JSON, empty where there is none.
	A string `json:"a,omitempty"`
	B string `json:"b,omitempty"`
	// Why explains a difference that Strata makes, which is none then.
	Why string `json:"why,omitempty"`
}

// String is one line for people.
func (d Difference) String() string {
	value := func(v string) string {
		if v == "" {
			return "nothing"
		}
		return v
	}
	if d.Why != "" {
		return fmt.Sprintf("%s: %s", d.Field, d.Why)
	}
	return fmt.Sprintf("%s: %s != %s", d.Field, value(d.A), value(d.B))
}

// whyDropped and whyAdded explain the labels that name an ostree commit.
const (
	whyDropped = "only the first has it, for Strata drops it from plain bootable images: it names the ostree commit of other layers"
	whyAdded   = "only the second has it, for Strata sets it in images of ostree's form: it names the ostree commit in them"
)

// DiffConfigs lists how the configs of two images differ in what a runtime goes by: the platform and all of the config's
// config (user, environment, entry point, command, directory, labels, ports, volumes, signal, …), but for what names the
// machine of the build. Layers, history, author and date are no part of it, nor is the difference between an empty value and
// none. The order is that of the fields.
func DiffConfigs(a, b *Source) ([]Difference, error) {
	x, err := runtimeFields(a.RawConfig)
	if err != nil {
		return nil, err
	}
	y, err := runtimeFields(b.RawConfig)
	if err != nil {
		return nil, err
	}
	var out []Difference
	for _, field := range slices.Sorted(maps.Keys(union(x, y))) {
		if x[field] == y[field] {
			continue
		}
		d := Difference{Field: field, A: x[field], B: y[field]}
		d.Why = why(d, x, y)
		out = append(out, d)
	}
	return out, nil
}

// why explains a difference that Strata makes.
func why(d Difference, x, y map[string]string) string {
	label, ok := strings.CutPrefix(d.Field, "config.Labels.")
	left, right := x["config.Labels."+LabelCommit] != "", y["config.Labels."+LabelCommit] != ""
	switch {
	case !ok:
	case label == LabelCommit || label == labelFinalDiffID:
		if d.A == "" {
			return whyAdded
		}
		if d.B == "" {
			return whyDropped
		}
		if left && right {
			return "each names the ostree commit of its own layers"
		}
	case (left || right) && label == LabelHHD && d.A != "" && d.B != "":
		return "each lists the packages in its own layers"
	case (left || right) && (d.A == "" || d.B == "") &&
		slices.Contains([]string{LabelBootable, labelBootc, LabelLinux}, label):
		return "only one has it, for Strata sets it in images of ostree's form, whose importers look for it"
	}
	return ""
}

func union(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// runtimeFields returns what a runtime goes by: the values that are not empty, as JSON in one spelling.
func runtimeFields(raw []byte) (map[string]string, error) {
	doc, err := parseFields("config", raw)
	if err != nil {
		return nil, err
	}
	config, err := parseFields("config's config", orNull(doc.get("config")))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, name := range []string{"architecture", "os", "os.version", "os.features", "variant"} {
		err = errors.Join(err, addField(out, name, doc.get(name)))
	}
	for name, value := range config {
		switch name = canonicalName(name); name {
		case "Hostname", "Domainname", "Image":
		case "Labels", "ExposedPorts", "Volumes":
			err = errors.Join(err, addMembers(out, "config."+name, value))
		default:
			err = errors.Join(err, addField(out, "config."+name, value))
		}
	}
	return out, err
}

// addMembers adds the members of an object, also those that hold nothing.
func addMembers(out map[string]string, name string, raw json.RawMessage) error {
	members := map[string]any{}
	if err := json.Unmarshal(raw, &members); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
	}
	for member, value := range members {
		out[name+"."+member] = inOneSpelling(value)
	}
	return nil
}

// addField adds a value that is not empty.
func addField(out map[string]string, name string, raw json.RawMessage) error {
	var value any
	if err := json.Unmarshal(orNull(raw), &value); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
	}
	if text := inOneSpelling(value); !slices.Contains([]string{"null", "false", `""`, "[]", "{}"}, text) {
		out[name] = text
	}
	return nil
}

// inOneSpelling writes a value that came from JSON.
func inOneSpelling(value any) string {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	_ = e.Encode(value) // what was decoded can be encoded
	return strings.TrimSuffix(text.String(), "\n")
}

// canonicalName writes the name of a member as the specification does: readers in Go take it in any case.
func canonicalName(name string) string {
	for _, known := range []string{
		"User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "ArgsEscaped",
		"Healthcheck",
		"Shell", "OnBuild", "Hostname", "Domainname", "Image",
	} {
		if strings.EqualFold(name, known) {
			return known
		}
	}
	return name
}
