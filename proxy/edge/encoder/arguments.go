package encoder

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
)

// maxArguments is how many an encoder has.
const maxArguments = 12

// allowed are the arguments that may come with a delta, for each program; all of them only change how bytes are coded.
// Numbers are bounded so that memory is: a dictionary up to 128 MiB, two threads.
var allowed = map[string]*regexp.Regexp{
	wrap.ProgramGzip: regexp.MustCompile(`^(?:-[1-9]|-n|--rsyncable)$`),
	wrap.ProgramPigz: regexp.MustCompile(`^(?:-[0-9]|-n|-m|-T|-i|-R|-p[12]|-b[1-9][0-9]{1,5})$`),
	wrap.ProgramXz: regexp.MustCompile(`^(?:-[0-9]e?|-T[12]|--check=(?:none|crc32|crc64|sha256)|--block-size=[1-9][0-9]{0,9}|` +
		`--(?:x86|arm|armthumb|arm64|powerpc|ia64|sparc|riscv)|--delta=dist=[1-9][0-9]{0,2}|` +
		`--lzma2=` + lzmaOption + `(?:,` + lzmaOption + `){0,8})$`),
	wrap.ProgramZstd: regexp.MustCompile(`^(?:-[1-9]|-1[0-9]|-2[0-2]|--ultra|--fast=[1-9][0-9]?|--long=(?:1[0-9]|2[0-7])|` +
		`--(?:no-)?check|--single-thread|-T[12]|--no-content-size|--stream-size=[0-9]{1,15})$`),
}

// lzmaOption is one of --lzma2: sizes up to 128 MiB.
const lzmaOption = `(?:preset=[0-9]e?|dict=(?:[1-9][0-9]{3,7}|1[0-2][0-9]{7}|13[0-3][0-9]{6}|[1-9][0-9]{0,2}KiB|[1-9][0-9]?MiB)|` +
	`l[cp]=[0-4]|pb=[0-4]|mode=(?:fast|normal)|nice=[1-9][0-9]{0,2}|mf=(?:hc3|hc4|bt2|bt3|bt4)|depth=[0-9]{1,4})`

// arguments returns what a program is run with: always as a filter, and as the encoder says.
func arguments(e wrap.Encoder) ([]string, error) {
	known, ok := allowed[e.Program]
	if !ok || len(e.Args) > maxArguments {
		return nil, fmt.Errorf("%w: %.32q with %d", ErrArguments, e.Program, len(e.Args))
	}
	for _, arg := range e.Args {
		if !known.MatchString(arg) {
			return nil, fmt.Errorf("%w: %s %.64q", ErrArguments, e.Program, arg)
		}
	}
	filter := []string{"-c"}
	switch e.Program {
	case wrap.ProgramXz:
		filter = []string{"--compress", "--stdout", "--quiet", "--no-adjust"}
	case wrap.ProgramZstd:
		filter = []string{"--stdout", "--quiet", "--no-progress"}
	}
	return append(filter, e.Args...), nil
}

// Check says whether e could be run where its program is: whether its arguments are on the list.
func Check(e wrap.Encoder) error {
	if strings.ContainsFunc(e.Version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') }) {
		return fmt.Errorf("%w: a version %.32q", ErrArguments, e.Version)
	}
	_, err := arguments(e)
	return err
}
