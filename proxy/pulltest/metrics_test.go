package pulltest

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/strata-oci/strata/rechunk/tree/treetest"
)

// metric adds up a counter or gauge over its labels.
func metric(t testing.TB, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var sum float64
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// uki are the entries of a sealed image's kernel.
func uki(file string) []treetest.Item {
	return []treetest.Item{
		treetest.Dir("boot"), treetest.Dir("boot/EFI"), treetest.Dir("boot/EFI/Linux"),
		treetest.File("boot/EFI/Linux/"+file, "MZ"),
	}
}
