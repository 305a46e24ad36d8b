package wrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/rechunk/delta/wrap/zstdtokens"
)

// Names of the programs that wrap.
const (
	ProgramGzip   = "gzip"
	ProgramPigz   = "pigz"
	ProgramXz     = "xz"
	ProgramZstd   = "zstd"
	ProgramStrata = "strata" // the encoders of this package, in Go
)

// Compatible says whether a program that there is makes e's bytes, as far as versions tell: who runs it compares the result.
// The output of xz (since 5.4) and gzip (since 1.10) has not changed; that of zstd does with every release, and pigz brings
// a zlib of its distribution. This package's own are wherever it is, in their one version.
func Compatible(e Encoder, have []Program) bool {
	if e.Program == ProgramStrata {
		return slices.ContainsFunc(tokens(), func(t Encoder) bool { return t.Version == e.Version })
	}
	return slices.ContainsFunc(have, func(p Program) bool {
		return p.Name == e.Program && (p.Version == e.Version || family(p) != "" &&
			family(p) == family(Program{p.Name, e.Version}))
	})
}

// family names the versions of a program that make the same bytes; "" where only the same version does.
func family(p Program) string {
	major, rest, _ := strings.Cut(p.Version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	n, err := strconv.Atoi(minor)
	if err != nil {
		return ""
	}
	switch {
	case p.Name == ProgramXz && major == "5" && n >= 4:
		return "5.4"
	case p.Name == ProgramGzip && major == "1" && n >= 10:
		return "1.10"
	}
	return ""
}

// pace is how many plain bytes a second an encoder takes, at a level.
type pace struct {
	level string
	bytes float64
}

// paces is what the programs took on one core of a 2.1 GHz server, for kernel modules and an initramfs; the last of a
// program is for all other levels. They are constants, so that the same delta is made everywhere: proxy/edge/encoder tells
// how a machine compares.
func paces(program string) []pace {
	switch program {
	case ProgramXz:
		return []pace{{"-0", 20e6}, {"-1", 10e6}, {"-2", 7e6}, {"-3", 5e6}, {"", 3.5e6}}
	case ProgramGzip, ProgramPigz:
		return []pace{{"-1", 70e6}, {"-2", 60e6}, {"-3", 50e6}, {"-4", 45e6}, {"-5", 35e6}, {"-9", 12e6}, {"", 25e6}}
	case ProgramZstd:
		return []pace{{"-1", 300e6}, {"-2", 250e6}, {"-3", 180e6}, {"-19", 2.5e6}, {"-22", 2e6}, {"", 20e6}}
	}
	return []pace{{"", 30e6}}
}

// Seconds is what e takes for that many plain bytes on one core, by a model that is the same on every machine: good for
// choosing between sending bytes and making them.
func (e Encoder) Seconds(plain int64) float64 {
	list := paces(e.Program)
	bytes := list[len(list)-1].bytes
	for _, p := range list {
		if p.level != "" && slices.Contains(e.Args, p.level) {
			bytes = p.bytes
		}
	}
	return float64(plain)/bytes + 0.002 // a process
}

// tokens are the encoders of this package: by their one argument, the decoder that each undoes.
func tokens() []Encoder {
	return []Encoder{{Program: ProgramStrata, Version: zstdtokens.Version, Args: []string{ZstdTokens}}}
}

// Encode runs e: in Go for Program "strata", else by encs, which may be nil. Its errors are those of Encoders.Encode, and
// ErrInvalid for tokens that are none.
func Encode(ctx context.Context, encs Encoders, e Encoder, plain io.Reader, wrapped io.Writer) error {
	if e.Program == ProgramStrata {
		return encodeTokens(ctx, e, plain, wrapped)
	}
	if encs == nil {
		return fmt.Errorf("%w: %.64s", ErrUnavailable, e)
	}
	if err := encs.Encode(ctx, e, plain, wrapped); err != nil {
		return fmt.Errorf("%.200s: %w", e, err)
	}
	return nil
}

func encodeTokens(ctx context.Context, e Encoder, plain io.Reader, wrapped io.Writer) error {
	if !slices.ContainsFunc(tokens(), func(t Encoder) bool { return t.String() == e.String() }) {
		return fmt.Errorf("%w: %.64s", ErrUnavailable, e)
	}
	in := &counter{ended: ctx.Err, r: plain}
	err := zstdtokens.Encode(in, wrapped)
	if errors.Is(err, zstdtokens.ErrInvalid) {
		return in.blame(e.Args[0], err)
	}
	return err
}
