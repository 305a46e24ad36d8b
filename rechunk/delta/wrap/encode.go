package wrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/rechunk/delta/wrap/deflatetokens"
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
		return []pace{{"0", 12e6}, {"1", 6e6}, {"2", 4e6}, {"3", 3e6}, {"", 1.9e6}}
	case ProgramGzip, ProgramPigz:
		return []pace{{"1", 50e6}, {"2", 45e6}, {"3", 40e6}, {"4", 35e6}, {"5", 28e6}, {"8", 7e6}, {"9", 5e6}, {"", 21e6}}
	case ProgramZstd:
		return []pace{{"1", 250e6}, {"2", 200e6}, {"3", 150e6}, {"15", 6e6}, {"18", 2e6}, {"19", 1.8e6}, {"20", 1.5e6},
			{"21", 1.3e6},
			{"22", 1.2e6}, {"", 15e6}}
	}
	return []pace{{"", 30e6}}
}

// level is the level among arguments, without what is added to it: "9" of -9e and of --lzma2=preset=9e,dict=1048576.
func level(args []string) string {
	for _, arg := range args {
		arg = strings.TrimPrefix(arg, "--lzma2=preset=")
		arg, _, _ = strings.Cut(strings.TrimPrefix(arg, "-"), ",")
		if arg = strings.TrimSuffix(arg, "e"); arg != "" && strings.Trim(arg, "0123456789") == "" {
			return arg
		}
	}
	return ""
}

// Seconds is what e takes for that many plain bytes on one core, by a model that is the same on every machine: good for
// choosing between sending bytes and making them.
func (e Encoder) Seconds(plain int64) float64 {
	list, at := paces(e.Program), level(e.Args)
	bytes := list[len(list)-1].bytes
	for _, p := range list {
		if p.level == at && at != "" {
			bytes = p.bytes
		}
	}
	return float64(plain)/bytes + 0.002 // a process
}

// tokens are the encoders of this package: by their one argument, the decoder that each undoes.
func tokens() []Encoder {
	return []Encoder{
		{Program: ProgramStrata, Version: zstdtokens.Version, Args: []string{ZstdTokens}},
		{Program: ProgramStrata, Version: deflatetokens.Version, Args: []string{GzipTokens}},
		{Program: ProgramStrata, Version: deflatetokens.Version, Args: []string{DeflateTokens}},
	}
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
	encode := map[string]func(io.Reader, io.Writer) error{
		ZstdTokens: zstdtokens.Encode, GzipTokens: deflatetokens.EncodeGzip, DeflateTokens: deflatetokens.Encode,
	}[e.Args[0]]
	err := encode(in, wrapped)
	if errors.Is(err, zstdtokens.ErrInvalid) || errors.Is(err, deflatetokens.ErrInvalid) {
		return in.blame(e.Args[0], err)
	}
	return err
}
