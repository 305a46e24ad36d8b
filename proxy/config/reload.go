package config

import (
	"reflect"
	"slices"
	"strings"
)

// reloadable are the keys that a running proxy takes over, with those below them.
func reloadable() []string {
	return []string{
		"access", "admin.hosts", "admin.htpasswd_file", "admin.insecure", "admin.tls", "admin.token", "admin.token_file",
		"answer_as", "casync",
		"deltas.keep", "deltas.prefer", "deltas.wait", "fleet.retention", "gc",
		"limits.body_bytes", "limits.connections", "limits.connections_per_address", "limits.misses_per_address",
		"limits.request_timeout",
		"limits.requests", "limits.requests_per_address", "limits.stall_timeout", "log.level", "min_free", "quota",
		"repositories", "scrub", "shutdown_timeout", "signing", "tls", "upstreams",
	}
}

// NeedsRestart returns the keys that differ in next and that a running proxy cannot take over, sorted.
func (c *Config) NeedsRestart(next *Config) []string {
	var keys []string
	changed(&keys, reflect.ValueOf(c).Elem(), reflect.ValueOf(next).Elem(), "")
	if c.TLS.Enabled() != next.TLS.Enabled() {
		keys = append(keys, "tls.cert_file")
	}
	if c.Admin.TLS.Enabled() != next.Admin.TLS.Enabled() {
		keys = append(keys, "admin.tls.cert_file")
	}
	if c.Edge() != next.Edge() { // the parts of an edge are made when it starts
		for host := range next.Upstreams {
			if c.Via(host) != next.Via(host) {
				keys = append(keys, "upstreams."+host+".via")
			}
		}
		for host := range c.Upstreams {
			if c.Via(host) != next.Via(host) {
				keys = append(keys, "upstreams."+host+".via")
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// changed adds the keys of a struct whose values differ, and which need a restart.
func changed(keys *[]string, a, b reflect.Value, prefix string) {
	for i := range a.NumField() {
		key := a.Type().Field(i).Tag.Get("yaml")
		if key == "" {
			continue
		}
		key = join(prefix, key)
		if slices.ContainsFunc(reloadable(), func(r string) bool { return key == r || strings.HasPrefix(key, r+".") }) ||
			reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			continue
		}
		if _, own := a.Field(i).Addr().Interface().(nodeDecoder); a.Field(i).Kind() == reflect.Struct && !own &&
			keyed(a.Field(i).Type()) {
			changed(keys, a.Field(i), b.Field(i), key)
			continue
		}
		*keys = append(*keys, key)
	}
}

// keyed reports whether a struct has keys of its own.
func keyed(t reflect.Type) bool { return len(fieldKeys(t)) > 0 }
