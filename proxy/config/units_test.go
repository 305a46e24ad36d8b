package config

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"60s": time.Minute, "1h30m": 90 * time.Minute, "24h": day, "7d": 7 * day, "2w": 14 * day, "1w2d3h": 9*day +
			3*time.Hour,
		"1d12h": 36 * time.Hour, "0": 0, "0s": 0, "250ms": 250 * time.Millisecond, "-5s": -5 * time.Second, "-1d": -day,
	} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err != nil || time.Duration(d) != want {
			t.Errorf("%q: got %v, %v; want %v", text, d, err, want)
		}
	}
	for _, text := range []string{"", "60", "s", "d", "1.5d", "-", "--1s", "1d-2h", "1d2w", "9999999999d", "1e3d", "d1",
		"200000w", "1y", "7 d"} {
		var d Duration
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: accepted as %v", text, d)
		}
	}
}

func TestByteSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]ByteSize{
		"64MiB": 64 << 20, "200GB": 200e9, "1.5 GiB": 3 << 29, "0": 0, "4096": 4096, "10k": 10_000,
	} {
		var b ByteSize
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("%q: got %d, %v; want %d", text, b, err, want)
		}
	}
	for _, text := range []string{"", "-1", "MiB", "1 furlong", "10EiB", "NaN", "1e30"} {
		var b ByteSize
		if err := b.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: accepted as %d", text, b)
		}
	}
	for b, want := range map[ByteSize]string{64 << 20: "64MiB", 0: "0B", 1000: "1000B", 3 << 29: "1536MiB"} {
		if b.String() != want {
			t.Errorf("%d: got %s, want %s", int64(b), b, want)
		}
	}
}

func TestPercent(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"10%": "10%", "0%": "0%", "100%": "100%", "2.5 %": "2.5%", "-1%": "-1%"} {
		var p Percent
		if err := p.UnmarshalText([]byte(text)); err != nil || p.String() != want {
			t.Errorf("%q: got %s, %v; want %s", text, p, err, want)
		}
	}
	for _, text := range []string{"", "%", "10", "0.1", "NaN%", "Inf%", "ten%"} {
		var p Percent
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: accepted as %s", text, p)
		}
	}
}

// Every unit reads back what it writes.
func TestUnitsRoundTrip(t *testing.T) {
	t.Parallel()
	for _, d := range []Duration{0, 1, Duration(time.Minute), Duration(36 * time.Hour), Duration(-time.Second)} {
		var back Duration
		if err := back.UnmarshalText([]byte(d.String())); err != nil || back != d {
			t.Errorf("%s: got %s, %v", d, back, err)
		}
	}
	for _, b := range []ByteSize{0, 1, 1023, 1 << 20, 200e9, 1 << 40} {
		var back ByteSize
		if err := back.UnmarshalText([]byte(b.String())); err != nil || back != b {
			t.Errorf("%s: got %s, %v", b, back, err)
		}
	}
	for _, p := range []Percent{0, 0.1, 0.125, 1} {
		var back Percent
		if err := back.UnmarshalText([]byte(p.String())); err != nil || back != p {
			t.Errorf("%s: got %s, %v", p, back, err)
		}
	}
}

func TestSecretShowsNowhere(t *testing.T) {
	t.Parallel()
	const text = "hunter2"
	up := Upstream{Username: "me", Password: NewSecret(text)}
	storage := Storage{Driver: "s3", Parameters: map[string]any{"secretkey": text}}
	var shown strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&shown, verb+"\n", up.Password)
		fmt.Fprintf(&shown, verb+"\n", up)
		fmt.Fprintf(&shown, verb+"\n", &up)
	}
	fmt.Fprintf(&shown, "%v %+v %#v %s\n", storage, storage, storage, storage)
	slog.New(slog.NewTextHandler(&shown, nil)).Info("x", "secret", up.Password, "upstream", up, "storage", storage)
	slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "secret", up.Password, "upstream", up, "storage", storage)
	document, err := json.Marshal([]any{up, storage})
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(document)
	for _, leak := range []string{text, fmt.Sprintf("%x", text)} {
		if strings.Contains(shown.String(), leak) {
			t.Errorf("%q shows in:\n%s", leak, shown.String())
		}
	}
	if up.Password.Reveal() != text {
		t.Error("Reveal gives another text")
	}
	if diff := cmp.Diff(NewSecret("a"), NewSecret("b")); diff == "" {
		t.Error("different secrets compare equal")
	}
}

// What a unit accepts it writes in a form that it accepts again, with the same meaning.
func FuzzUnits(f *testing.F) {
	for _, seed := range []string{"1w2d3h", "-7d", "1.5GiB", "2.5%", "0", "9223372036854775807ns", "8EiB", "1e3%",
		"1e308%"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d, d2 Duration
		if d.UnmarshalText([]byte(text)) == nil && (d2.UnmarshalText([]byte(d.String())) != nil || d != d2) {
			t.Errorf("duration %q: %s, then %s", text, d, d2)
		}
		var b, b2 ByteSize
		if b.UnmarshalText([]byte(text)) == nil && (b < 0 || b2.UnmarshalText([]byte(b.String())) != nil) {
			t.Errorf("size %q: %s, then %s", text, b, b2)
		}
		var p, p2 Percent
		if p.UnmarshalText([]byte(text)) == nil && p2.UnmarshalText([]byte(p.String())) != nil {
			t.Errorf("percentage %q: %s", text, p)
		}
	})
}
