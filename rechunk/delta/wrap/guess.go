package wrap

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// maxGuesses is how many encoders a part is tried with.
const maxGuesses = 8

// guess returns the encoders that may have made a part, the most likely first, as far as the stream itself tells; and a name
// for all streams that tell the same. Versions are left out.
func guess(parent Content, p Part) (string, []Encoder) {
	s := newSource(io.NewSectionReader(parent, p.Offset, p.Length))
	var name string
	var out []Encoder
	switch p.Decoder {
	case Gzip:
		name, out = guessGzip(s)
	case Xz:
		name, out = guessXz(s)
	case Zstd:
		name, out = guessZstd(s)
	default:
		out = slices.DeleteFunc(tokens(), func(e Encoder) bool { return e.Args[0] != p.Decoder })
	}
	return p.Decoder + " " + name, out[:min(len(out), maxGuesses)]
}

// guessGzip goes by the header: without a name and a time, on Unix, the level's class. Debian's policy and rpm's scripts say
// -9n; dracut prefers pigz with -R, and else gzip with --rsyncable.
func guessGzip(s source) (string, []Encoder) {
	b := s.bytes(0, 10)
	if b == nil || b[3] != 0 || b[4]|b[5]|b[6]|b[7] != 0 || b[9] != 3 {
		return "with a name or time", nil
	}
	var out []Encoder
	add := func(program string, args ...string) { out = append(out, Encoder{Program: program, Args: args}) }
	switch b[8] {
	case 2:
		add(ProgramGzip, "-n", "-9")
		add(ProgramPigz, "-n", "-T", "-9", "-R")
		add(ProgramGzip, "-n", "-9", "--rsyncable")
		add(ProgramPigz, "-n", "-T", "-9")
	case 4:
		add(ProgramGzip, "-n", "-1")
		add(ProgramPigz, "-n", "-T", "-1")
	case 0:
		add(ProgramGzip, "-n", "-6")
		add(ProgramPigz, "-n", "-T", "-6")
		add(ProgramGzip, "-n", "-6", "--rsyncable")
		for _, level := range []string{"-8", "-7", "-5", "-4", "-3"} {
			add(ProgramGzip, "-n", level)
		}
	}
	return strconv.Itoa(int(b[8])), out
}

// guessXz reads check, filters and dictionary off the stream. Sizes in block headers are the mark of the writer with
// threads, whose blocks are three dictionaries long if nobody asked for another length.
func guessXz(s source) (string, []Encoder) {
	x, ok := readXz(s, 0)
	if !ok {
		return "", nil
	}
	check, ok := map[byte]string{0: "none", 1: "crc32", 4: "crc64", 10: "sha256"}[x.check]
	if !ok {
		return "", nil
	}
	args := []string{"-T1", "--check=" + check}
	if x.told {
		args[0] = "-T2"
	}
	if n := max(3*x.dict, 1<<20); x.blocks > 1 && x.first != n {
		args = append(args, "--block-size="+strconv.FormatInt(x.first, 10))
	}
	for _, f := range x.filters[:len(x.filters)-1] {
		names := map[int64]string{4: "x86", 5: "powerpc", 6: "ia64", 7: "arm", 8: "armthumb", 9: "sparc", 10: "arm64",
			11: "riscv"}
		switch name, ok := names[f.id]; {
		case ok && f.n == 0:
			args = append(args, "--"+name)
		case f.id == 3 && f.n == 1:
			args = append(args, "--delta=dist="+strconv.Itoa(int(f.props[0])+1))
		default:
			return "", nil
		}
	}
	name := fmt.Sprint(args, x.dict, x.props)
	out := make([]Encoder, 0, maxGuesses)
	for _, options := range lzmaOptions(x) {
		out = append(out, Encoder{Program: ProgramXz, Args: append(slices.Clone(args), options)})
	}
	return name, out
}

// lzmaOptions are those that a stream may have been made with: a preset's, the default preset's with another dictionary, and
// the extreme ones.
func lzmaOptions(x xzStream) []string {
	presets := map[int64][]string{
		256 << 10: {"0"}, 1 << 20: {"1"}, 2 << 20: {"2"}, 4 << 20: {"4", "3"}, 8 << 20: {"6", "5"}, 16 << 20: {"7"},
		32 << 20: {"8"}, 64 << 20: {"9"},
	}[x.dict]
	tail := ",dict=" + strconv.FormatInt(x.dict, 10)
	if x.props >= 0 && x.props != 93 { // lc=3, lp=0, pb=2
		tail += fmt.Sprintf(",lc=%d,lp=%d,pb=%d", x.props%9, x.props/9%5, x.props/45)
	}
	var out []string
	for _, p := range append(append([]string{}, presets...), "6", "9") {
		for _, extreme := range []string{"", "e"} {
			if option := "--lzma2=preset=" + p + extreme + tail; !slices.Contains(out, option) {
				out = append(out, option)
			}
		}
	}
	// The kernel's modules: a small dictionary, and the default preset's effort.
	if x.dict < 8<<20 {
		i := slices.Index(out, "--lzma2=preset=6"+tail)
		out = slices.Insert(slices.Delete(out, i, i+1), 0, "--lzma2=preset=6"+tail)
	}
	return out
}

// sizeArgument is filled in with the size of the plain bytes.
const sizeArgument = "--stream-size="

// fill puts the size of the plain bytes into arguments that tell it, unfill takes it out.
func fill(args []string, size int64) []string {
	out := slices.Clone(args)
	for i, arg := range out {
		if arg == sizeArgument {
			out[i] += strconv.FormatInt(size, 10)
		}
	}
	return out
}

func unfill(args []string) []string {
	out := slices.Clone(args)
	for i, arg := range out {
		if strings.HasPrefix(arg, sizeArgument) {
			out[i] = sizeArgument
		}
	}
	return out
}

// guessZstd goes by the window, which differs by level, and by what the frame header tells.
func guessZstd(s source) (string, []Encoder) {
	f, ok := readZstdFrame(s, 0)
	if !ok {
		return "", nil
	}
	var args []string
	if f.size >= 0 {
		args = append(args, sizeArgument)
	}
	if !f.checksum {
		args = append(args, "--no-check")
	}
	name := fmt.Sprint(args, f.single, f.window)
	levels := zstdLevels(f)
	var out []Encoder
	for _, thread := range []string{"", "--single-thread"} {
		for _, level := range levels[:min(len(levels), maxGuesses/2)] {
			e := Encoder{Program: ProgramZstd, Args: append(slices.Clone(args), level...)}
			if thread != "" {
				e.Args = append(e.Args, thread)
			}
			out = append(out, e)
		}
	}
	return name, out
}

// zstdLevels are those that have a frame's window. With the whole content as the window, nothing tells: the levels are those
// that distributions use.
func zstdLevels(f zstdFrame) [][]string {
	switch window := f.window; {
	case f.single:
		return [][]string{{"-3"}, {"-19"}, {"--ultra", "-22"}, {"-9"}}
	case window <= 1<<19:
		return [][]string{{"-1"}}
	case window == 1<<20:
		return [][]string{{"-2"}}
	case window == 1<<21:
		return [][]string{{"-3"}, {"-6"}, {"-5"}, {"-8"}}
	case window == 1<<22:
		return [][]string{{"-9"}, {"-15"}, {"-10"}, {"-12"}}
	case window == 1<<23:
		return [][]string{{"-19"}, {"-18"}, {"-17"}}
	case window == 1<<25:
		return [][]string{{"--ultra", "-20"}}
	case window == 1<<26:
		return [][]string{{"--ultra", "-21"}}
	case window == 1<<27:
		return [][]string{{"--ultra", "-22"}, {"-19", "--long=27"}, {"-3", "--long=27"}}
	}
	return nil
}
