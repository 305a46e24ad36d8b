package config

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Rate is a number of requests per second. It is written with its unit of time: "10/s", "300/m", "5000/h". 0 is no bound.
type Rate float64

// rateUnits are the units of Rate, in seconds.
var rateUnits = []struct {
	name    string
	seconds float64
}{{"s", 1}, {"m", 60}, {"h", 3600}}

// UnmarshalText parses a rate. A bare number other than 0 is refused, since it could mean anything.
func (r *Rate) UnmarshalText(text []byte) error {
	if string(text) == "0" {
		*r = 0
		return nil
	}
	number, name, _ := strings.Cut(string(text), "/")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	for _, unit := range rateUnits {
		if err == nil && strings.TrimSpace(name) == unit.name && n > 0 && !math.IsInf(n, 0) {
			*r = Rate(n / unit.seconds)
			return nil
		}
	}
	return fmt.Errorf("%s is no rate: write a number of requests and a unit of time, such as 10/s, 300/m or 5000/h",
		quote(string(text)))
}

// String returns the rate as UnmarshalText reads it, with the shortest unit that gives a whole number.
func (r Rate) String() string {
	if r == 0 {
		return "0"
	}
	for _, unit := range rateUnits {
		if n := float64(r) * unit.seconds; math.Abs(n-math.Round(n)) < 1e-9*n {
			return strconv.FormatFloat(math.Round(n), 'f', -1, 64) + "/" + unit.name
		}
	}
	return strconv.FormatFloat(float64(r), 'g', -1, 64) + "/s"
}

// MarshalText returns String.
func (r Rate) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Bandwidth is a number of bytes per second, written as a size and "/s": "50MB/s". 0 is no bound.
type Bandwidth int64

// UnmarshalText parses a bandwidth.
func (b *Bandwidth) UnmarshalText(text []byte) error {
	size, found := strings.CutSuffix(string(text), "/s")
	var bytes ByteSize
	if !found && size != "0" || bytes.UnmarshalText([]byte(size)) != nil {
		return fmt.Errorf("%s is no bandwidth: write bytes per second, such as 50MB/s", quote(string(text)))
	}
	*b = Bandwidth(bytes)
	return nil
}

// String returns the bandwidth as UnmarshalText reads it.
func (b Bandwidth) String() string {
	if b == 0 {
		return "0"
	}
	return ByteSize(b).String() + "/s"
}

// MarshalText returns String.
func (b Bandwidth) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// HostList is a list of host names. In the environment they are separated by commas.
type HostList []string

// UnmarshalText reads names that are separated by commas.
func (l *HostList) UnmarshalText(text []byte) error {
	*l = nil
	for host := range strings.SplitSeq(string(text), ",") {
		if host = strings.TrimSpace(host); host != "" {
			*l = append(*l, host)
		}
	}
	return nil
}

// decodeNode implements nodeDecoder: a YAML list.
func (l *HostList) decodeNode(d *decoder, n ast.Node, key string) {
	names := reflect.New(reflect.TypeFor[[]string]()).Elem()
	d.list(names, n, key, 1)
	*l = names.Interface().([]string)
}
