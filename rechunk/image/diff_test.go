package image

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestDiffConfigs(t *testing.T) {
	t.Parallel()
	config := func(top, inner string) string {
		return fmt.Sprintf(`{"architecture":"amd64","os":"linux"%s,"config":{%s},"rootfs":{"type":"layers","diff_ids":["%s"]}}`, top, inner, digestA)
	}
	for name, tc := range map[string]struct {
		a, b string
		want []string
	}{
		"the same in another spelling": {
			config("", `"Env":["A=1"],"Labels":{"x":"<y>","n":"1"},"Cmd":null`),
			config(`,"created":"2026-01-02T03:04:05Z","author":"me","history":[{}]`,
				`"labels":{"n":"1","x":"\u003cy\u003e"}, "env": ["A=1"],"Volumes":{},"ArgsEscaped":false,"Hostname":"builder","Image":"sha256:1"`), nil,
		},
		"everything": {
			config("", `"User":"root","Env":["A=1"],"Entrypoint":["/init"],"WorkingDir":"/","StopSignal":"SIGTERM","ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{}}`),
			config(`,"variant":"v3"`, `"User":"","Env":["A=2"],"Entrypoint":["/init","x"],"Cmd":["y"],"WorkingDir":"/w","StopSignal":"9","Healthcheck":{"Test":["x"]},"New":1`),
			[]string{
				`config.Cmd: nothing != ["y"]`, `config.Entrypoint: ["/init"] != ["/init","x"]`,
				`config.Env: ["A=1"] != ["A=2"]`,
				`config.ExposedPorts.80/tcp: {} != nothing`, `config.Healthcheck: nothing != {"Test":["x"]}`,
				"config.New: nothing != 1",
				`config.StopSignal: "SIGTERM" != "9"`, `config.User: "root" != nothing`, "config.Volumes./v: {} != nothing",
				`config.WorkingDir: "/" != "/w"`, `variant: nothing != "v3"`,
			},
		},
		"labels": {
			config("", `"Labels":{"a":"1","empty":"","ostree.commit":"c","ostree.final-diffid":"d"}`),
			config("", `"Labels":{"a":"2","ostree.final-diffid":"e"}`),
			[]string{
				`config.Labels.a: "1" != "2"`, `config.Labels.empty: "" != nothing`, "config.Labels.ostree.commit: " +
					whyDropped,
				`config.Labels.ostree.final-diffid: "d" != "e"`,
			},
		},
		"labels of ostree's form": {
			config("", `"Labels":{}`), config("", `"Labels":{"ostree.commit":"c","ostree.final-diffid":"d"}`),
			[]string{"config.Labels.ostree.commit: " + whyAdded, "config.Labels.ostree.final-diffid: " + whyAdded},
		},
	} {
		got, err := DiffConfigs(&Source{RawConfig: []byte(tc.a)}, &Source{RawConfig: []byte(tc.b)})
		var lines []string
		for _, d := range got {
			lines = append(lines, d.String())
		}
		if diff := cmp.Diff(tc.want, lines); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
	bad := &Source{RawConfig: []byte(config("", `"Labels":[]`))}
	if _, err := DiffConfigs(bad, bad); err == nil {
		t.Error("labels that are a list")
	}
}

// What Build changes in a config is explained, and nothing else differs.
func TestServedConfigIsTheSame(t *testing.T) {
	t.Parallel()
	src := parse(t, manifest("", layerOf(ocispec.MediaTypeImageLayer)), sourceConfig)
	for _, plain := range []bool{true, false} {
		config, _, err := Build(src, twoLayers, Made{Plain: plain})
		if err != nil {
			t.Fatal(err)
		}
		got, err := DiffConfigs(src, &Source{RawConfig: config.Bytes})
		if err != nil || (len(got) == 2) != plain {
			t.Fatal(got, err)
		}
		for _, d := range got {
			if d.Why == "" {
				t.Error(d)
			}
		}
	}
}
