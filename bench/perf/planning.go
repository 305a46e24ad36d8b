package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/bench/process"
)

// planBenchmark is the benchmark of package plan: 100,000 entries, 2,000 components, 64 layers.
const planBenchmark = "BenchmarkMake/"

// plan runs the planner's benchmark.
func (b *bench) plan(ctx context.Context) error {
	b.say("planning")
	_, out, err := process.Measure(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkMake$", "-benchmem", "-count",
		strconv.Itoa(b.rounds),
		"github.com/strata-oci/strata/rechunk/plan")
	if err != nil {
		return err
	}
	found := parseBenchmarks(string(out))
	for _, which := range []string{"first", "next"} {
		s, ok := found[planBenchmark+which]
		if !ok {
			return fmt.Errorf("no result of %s%s", planBenchmark, which)
		}
		what := "plan of 100,000 entries, " + which + " version"
		b.add(
			alone(what+", time", s["ns/op"].scaled(1e-9), unit("s"), atMost(2, " s")),
			alone(what+", allocated", s["B/op"].scaled(1e-6), unit("MB"), atMost(100, " MB")),
		)
	}
	return nil
}

// parseBenchmarks reads the output of go test -bench: by name, without the number of processors, and unit.
func parseBenchmarks(out string) map[string]map[string]sample {
	found := map[string]map[string]sample{}
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := fields[0]
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		if found[name] == nil {
			found[name] = map[string]sample{}
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				found[name][fields[i+1]] = append(found[name][fields[i+1]], v)
			}
		}
	}
	return found
}
