package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/strata-oci/strata/rechunk/legible"
)

// Duration is a length of time. It is written with units: "60s", "1h30m", and with days and weeks: "7d", "2w", "1d12h".
type Duration time.Duration

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// UnmarshalText parses a duration. A bare number other than 0 is refused, since it could mean anything.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := parseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(parsed)
	return nil
}

func parseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%s is no length of time: write a number with a unit, such as 60s, 15m, 24h or 7d", quote(s))
	rest, negative := strings.CutPrefix(s, "-")
	var total time.Duration
	for _, unit := range []struct {
		suffix string
		length time.Duration
	}{{"w", week}, {"d", day}} {
		number, after, found := strings.Cut(rest, unit.suffix)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(number, 10, 31)
		if err != nil || time.Duration(n) > (math.MaxInt64-total)/unit.length {
			return 0, bad
		}
		total += time.Duration(n) * unit.length
		rest = after
		if rest == "" {
			return sign(total, negative), nil
		}
	}
	if rest == "" || rest[0] == '-' || rest[0] == '+' {
		return 0, bad
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d > math.MaxInt64-total {
		return 0, bad
	}
	return sign(total+d, negative), nil
}

func sign(d time.Duration, negative bool) time.Duration {
	if negative {
		return -d
	}
	return d
}

// String returns the duration as UnmarshalText reads it.
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText returns String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// ByteSize is a number of bytes. It is written with a unit, decimal ("200GB") or binary ("64MiB"); a bare number is bytes.
type ByteSize int64

// UnmarshalText parses a size.
func (b *ByteSize) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%s is no size: write a number with a unit, such as 64MiB or 200GB", quote(string(text)))
	}
	*b = ByteSize(n)
	return nil
}

// String returns the size with the largest binary unit that gives a whole number.
func (b ByteSize) String() string {
	for _, unit := range []struct {
		name  string
		shift uint
	}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if b != 0 && b&(1<<unit.shift-1) == 0 {
			return strconv.FormatInt(int64(b>>unit.shift), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// MarshalText returns String.
func (b ByteSize) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Percent is a share: 0.1 is written "10%".
type Percent float64

// mostPercent is far above what any key allows, and as much as String writes exactly, to a millionth.
const mostPercent = 1e9

// UnmarshalText parses a percentage. The percent sign is required, since 0.1 and 10 would be as likely.
func (p *Percent) UnmarshalText(text []byte) error {
	number, found := strings.CutSuffix(string(text), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !found || err != nil || !(math.Abs(f) <= mostPercent) { // nor is NaN
		return fmt.Errorf("%s is no percentage: write a number with a percent sign, such as 10%%", quote(string(text)))
	}
	*p = Percent(f / 100)
	return nil
}

// String returns the share as a percentage.
func (p Percent) String() string {
	return strconv.FormatFloat(math.Round(float64(p)*1e8)/1e6, 'f', -1, 64) + "%"
}

// MarshalText returns String.
func (p Percent) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// oneOf sets dst when text is one of the allowed words.
func oneOf[T ~string](dst *T, text []byte, allowed ...T) error {
	names := make([]string, len(allowed))
	for i, word := range allowed {
		if string(text) == string(word) {
			*dst = word
			return nil
		}
		names[i] = string(word)
	}
	last := len(names) - 1
	return fmt.Errorf("%s is not known: write %s or %s", quote(string(text)), strings.Join(names[:last], ", "), names[last])
}

// quote quotes a value for a message and shortens it when it is long.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		return legible.Line(strconv.Quote(s[:most])) + "…"
	}
	return legible.Line(strconv.Quote(s))
}
