package config

import (
	"strings"
	"testing"
)

// What people get wrong in YAML is said in words of the file, at the line that causes it.
func TestSyntax(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, where, says string }{
		"tab":                    {"admin:\n\tlisten: :1\n", "f:2:1", "is indented with a tab"},
		"tab after spaces":       {"log:\n  level: info\n  \tformat: text\n", "f:3:3", "is indented with a tab"},
		"tab in a list":          {"answer_as:\n\t- ghcr.io\n", "f:2:1", "is indented with a tab"},
		"too deep":               {"admin:\n  listen: :1\n   insecure: true\n", "f:3:4", "indentation"},
		"too deep, with remark":  {"admin:\n  listen: :1\n\n   # why\n   insecure: true\n", "f:5:4", "indentation"},
		"too shallow":            {"admin:\n    listen: :1\n  insecure: true\n", "f:3:3", "indentation"},
		"first line":             {" listen: :1\nadmin:\n", "f:2:1", "indentation"},
		"in a list":              {"repositories:\n- match: a/b\n rechunk: auto\n", "f:3:2", "indentation"},
		"beside a dash":          {"repositories:\n  - match: a/b\n  rechunk: auto\n", "f:3:3", "indentation"},
		"colon in a value":       {"listen: a: b\n", "f:1:9", "needs quotes"},
		"no colon":               {"listen 127.0.0.1:0\njobs: 1\n", "f:1:1", "write \"key: value\""},
		"no space":               {"listen:127.0.0.1\njobs: 1\n", "f:1:1", "write \"key: value\""},
		"quote":                  {"listen: \"127.0.0.1:0\njobs: 1\n", "f:1:9", "a quote begins here"},
		"list not closed":        {"seeds: [{store: true}\njobs: 1\n", "f:2:1", "is not closed"},
		"mapping not closed":     {"seeds: {store: true\n", "f:1:8", "is not closed"},
		"closed twice":           {"seeds: []]\n", "f:1:10", "was not opened"},
		"twice":                  {"jobs: 1\njobs: 2\n", "f:2:1", "set twice, here and in line 1"},
		"at":                     {"listen: @secret\n", "f:1:9", "needs quotes"},
		"star":                   {"listen: **\n", "f:1:10", "needs quotes"},
		"star and name":          {"listen: *name\n", "f:1:9", "needs quotes"},
		"IPv6":                   {"listen: [::1]:5000\n", "f:1:10", "an IPv6 address needs quotes"},
		"IPv6 in a list":         {"repositories:\n- match: a\n  rollout: {first: [::1/128, b]}\n", "f:3:21", "an IPv6 address needs quotes"},
		"IPv6 in a list, alone":  {"repositories:\n- match: a\n  rollout: {first: [fd00::1, b]}\n", "f:3:21", "an IPv6 address needs quotes"},
		"IPv6, whole":            {"answer_as: [1:2:3:4:5:6:7:8]:1\n", "f:1:13", "an IPv6 address needs quotes"},
		"quoted IPv6, and a tab": {"listen: \"[::1]:5000\"\nadmin:\n\tlisten: :1\n", "f:3:1", "is indented with a tab"},
		"quoted IPv6, too deep":  {"admin:\n  listen: \"[::1]:1\" # fd00::1\n   insecure: true\n", "f:3:4", "indentation"},
		"page":                   {"<!doctype html>\n<body class=\"x: y\">\n", "f:1:1", "write \"key: value\""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := decode("f", []byte(c.file), Default())
			if len(problems) == 0 {
				t.Fatal("no problem")
			}
			got := problems[0]
			if len(problems) > 1 || got.Where != c.where || !strings.Contains(got.Message, c.says) {
				t.Errorf("%v, want %s: … %s", problems, c.where, c.says)
			}
			for _, jargon := range []string{"token", "context", "anchor", "character '", "scalar", "secret"} {
				if strings.Contains(got.Message, jargon) {
					t.Errorf("%q speaks of %s", got.Message, jargon)
				}
			}
		})
	}
}
