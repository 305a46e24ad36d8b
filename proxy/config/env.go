package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

const envPrefix = "STRATA_"

// The variables that the commands read: the first names the configuration file, the second the proxy to ask.
const (
	configVariable = "STRATA_CONFIG"
	adminVariable  = "STRATA_ADMIN_URL"
)

// clientVariable reports whether a variable is for the commands that ask a proxy: how they log in.
func clientVariable(name string) bool {
	switch name {
	case "STRATA_ADMIN_USERNAME", "STRATA_ADMIN_PASSWORD_FILE", "STRATA_ADMIN_CA_FILE", "STRATA_ADMIN_CERT_FILE",
		"STRATA_ADMIN_KEY_FILE":
		return true
	}
	return false
}

// kubernetesVariable matches what Kubernetes sets in every pod for a Service whose name starts with "strata".
var kubernetesVariable = regexp.MustCompile(
	`^STRATA_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?)?)$`)

// override is what a variable may set. Two keys that share a variable's name are told apart by hosts.
type override struct {
	key   string
	set   func(text string) error
	hosts []string
}

// applyEnv sets the keys that variables name and notes where they come from.
func applyEnv(c *Config, environ []string, origins map[string]string) (problems []Problem) {
	variables := strataVariables(environ)
	table := map[string]override{}
	addFields(table, reflect.ValueOf(c).Elem(), "")
	apply := func(name string) {
		target := table[name]
		where := "environment variable " + name
		if len(target.hosts) > 1 {
			problems = append(problems,
				Problem{where, "upstreams", fmt.Sprintf("could mean any of the hosts %s: set it in the file",
					strings.Join(target.hosts, ", "))})
			return
		}
		if err := target.set(variables[name]); err != nil {
			problems = append(problems, Problem{where, target.key, err.Error()})
			return
		}
		origins[target.key] = where
	}
	names := slices.Sorted(maps.Keys(variables))
	for _, name := range names {
		if _, ok := table[name]; ok {
			apply(name)
			delete(variables, name)
		}
	}
	// Only now is default_upstream known, and with it the hosts.
	known := slices.Sorted(maps.Keys(table))
	clear(table)
	addUpstreams(table, c)
	storageFree := origins["storage"] == ""
	for _, name := range names {
		if _, left := variables[name]; !left {
			continue
		}
		if rest, ok := strings.CutPrefix(name, envPrefix+"STORAGE_"); ok {
			addStorage(table, c, name, rest, origins, storageFree)
		}
		if _, ok := table[name]; ok {
			apply(name)
			continue
		}
		problems = append(problems, unknownVariable(name, append(known, slices.Sorted(maps.Keys(table))...)))
	}
	return problems
}

// strataVariables returns the variables that are meant for the configuration, without those that are empty.
func strataVariables(environ []string) map[string]string {
	variables := map[string]string{}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || value == "" || name == configVariable || name == adminVariable ||
			clientVariable(name) ||
			kubernetesVariable.MatchString(name) {
			continue
		}
		variables[name] = value
	}
	return variables
}

// addFields adds the simple fields of a struct and of the structs in it.
func addFields(table map[string]override, v reflect.Value, prefix string) {
	for i := range v.NumField() {
		field, key := v.Field(i), join(prefix, v.Type().Field(i).Tag.Get("yaml"))
		_, own := field.Addr().Interface().(nodeDecoder)
		_, text := field.Addr().Interface().(encoding.TextUnmarshaler)
		switch {
		case own && !text:
		case text, field.Kind() == reflect.String, field.Kind() == reflect.Int, field.Kind() == reflect.Bool:
			table[variable(key)] = override{key: key, set: func(text string) error { return setText(field, text) }}
		case field.Kind() == reflect.Struct:
			addFields(table, field, key)
		}
	}
}

// addUpstreams adds the fields of every upstream whose host is known.
func addUpstreams(table map[string]override, c *Config) {
	for _, host := range c.Hosts() {
		for _, key := range fieldKeys(reflect.TypeFor[Upstream]()) {
			name := variable("upstreams." + host + "." + key)
			table[name] = override{
				key:   "upstreams." + host + "." + key,
				hosts: append(table[name].hosts, host),
				set: func(text string) error {
					up := newElement(reflect.TypeFor[Upstream]())
					if current, ok := c.Upstreams[host]; ok {
						up.Set(reflect.ValueOf(current))
					}
					field, _ := fieldByKey(up, key)
					if err := setText(field, text); err != nil {
						return err
					}
					if c.Upstreams == nil {
						c.Upstreams = map[string]Upstream{}
					}
					c.Upstreams[host] = up.Interface().(Upstream)
					return nil
				},
			}
		}
	}
}

// Hosts returns the registry hosts that the configuration names, sorted: the keys of upstreams, default_upstream, answer_as
// and the first elements of rules.
func (c *Config) Hosts() []string {
	hosts := slices.Collect(maps.Keys(c.Upstreams))
	if c.DefaultUpstream != "" {
		hosts = append(hosts, c.DefaultUpstream)
	}
	hosts = append(hosts, c.AnswerAs...)
	for _, rule := range c.Repositories {
		if first, _, _ := strings.Cut(rule.Match, "/"); isHost(first) {
			hosts = append(hosts, first)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// addStorage adds a parameter of a storage driver. A driver that no file chose gives way to the one that variables name.
func addStorage(table map[string]override, c *Config, name, rest string, origins map[string]string, free bool) {
	driver, parameter, found := strings.Cut(strings.ToLower(rest), "_")
	if !found || parameter == "" || !slices.Contains(storageDrivers(), driver) {
		return
	}
	table[name] = override{
		key: "storage." + driver + "." + parameter,
		set: func(text string) error {
			if !c.Storage.set(driver, parameter, text, free && origins["storage"] == "") {
				return fmt.Errorf("the storage driver in use is %s: keep one driver", c.Storage.Driver)
			}
			origins["storage"] = "environment variable " + name
			return nil
		},
	}
}

// variable returns the name of the variable for a key.
func variable(key string) string {
	return envPrefix + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
}

func unknownVariable(name string, known []string) Problem {
	message := "sets no key that exists"
	switch {
	case strings.HasPrefix(name, envPrefix+"UPSTREAMS_"):
		message = "sets no key of a host that is configured: name the host under upstreams in the file"
	case strings.HasPrefix(name, envPrefix+"STORAGE_"):
		message = "names no storage driver; there are " + strings.Join(storageDrivers(), ", ")
	default:
		message += suggest(name, known)
	}
	return Problem{Where: "environment variable " + name, Message: message}
}
