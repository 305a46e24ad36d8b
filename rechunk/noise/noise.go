// Package noise judges whether two contents of one path differ in nothing but what a build leaves behind: times and inode
// numbers in an initramfs, how a file was compressed, when packages were installed.
//
// It makes the form of each content, a digest of everything but its noise, and compares the forms. So "differs in noise
// only" is an equivalence: what is judged equal to its predecessor, time and again, is equal to the first. What the package
// can't read to the last byte has no form, and is equal to nothing.
//
// Contents are hostile: what is decoded of them is bounded by Limits, for all files of an image together. The package is
// pure: no files, no clock.
package noise

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/strata-oci/strata/rechunk/delta/wrap"
	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Kind is what a content is judged as.
type Kind string

// The kinds.
const (
	// Initramfs is a chain of cpio archives, bare or compressed, with zeros between them, at a path where kernels' are:
	// times and inode numbers are noise, and how the archives are compressed, with the same decoder.
	Initramfs Kind = "initramfs"
	// Compressed is one stream, or several one after another: all but the plain bytes is noise, as far as readers can't
	// tell.
	Compressed Kind = "compressed"
	// RPMDatabase is rpm's, in sqlite's format: install times and the numbers of transactions, which are times, are noise.
	RPMDatabase Kind = "rpmdb"
	// Compiled is Python's compiled code that quotes the time of its source, which is noise as long as the source has it.
	Compiled Kind = "pyc"
)

// KindAt tells by its path what a content is judged as; "" for most, which are not.
func KindAt(p string) Kind {
	switch {
	case rpmdb.InDatabaseDir(p):
		return RPMDatabase
	case isInitramfs(p):
		return Initramfs
	case decoderAt(p) != "":
		return Compressed
	}
	if _, ok := CompiledFrom(p); ok {
		return Compiled
	}
	return ""
}

// isInitramfs recognises the names that initramfs images have, in the directories that they have them in.
func isInitramfs(p string) bool {
	if !tree.Within(p, "boot") && !tree.Within(p, "usr/lib/modules") && !tree.Within(p, "lib/modules") &&
		!tree.Within(p, "usr/lib/ostree-boot") {
		return false
	}
	base := strings.ToLower(path.Base(p))
	return strings.HasPrefix(base, "initrd") || strings.HasPrefix(base, "initramfs")
}

// Limits bound what judging the files of one image may cost.
type Limits struct {
	// Plain is the number of bytes that may be read and decoded.
	Plain int64
	// Members bounds those of one initramfs, Name their names in bytes.
	Members, Name int
}

// DefaultLimits fit images with several initramfs of a desktop, and packages' documentation.
func DefaultLimits() Limits { return Limits{Plain: 16 << 30, Members: 1 << 20, Name: 8 << 10} }

// Content is a file's bytes.
type Content = wrap.Content

// Judge judges contents of one image. Not safe for concurrent use.
type Judge struct {
	lim  Limits
	left int64
}

// NewJudge makes a judge.
func NewJudge(lim Limits) *Judge { return &Judge{lim, lim.Plain} }

// Verdict is what a judge finds.
type Verdict struct {
	// Same says that two contents differ in noise only.
	Same bool
	// What names that noise ("times of 1,241 of 1,298 members"), or says why they can't be judged, or that more differs.
	What string
	// Quoted are the times that two compiled files quote, the earlier's first.
	Quoted [2]uint32
}

// errUnjudged marks a content that has no form; the error says why.
var errUnjudged = errors.New("not judged")

func unjudged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errUnjudged}, args...)...)
}

// Compare judges two contents of a path of the kind. An error is that of ctx or of reading; what is wrong with the contents
// themselves is a verdict.
func (j *Judge) Compare(ctx context.Context, k Kind, p string, old, now Content) (Verdict, error) {
	var forms [2]*form
	for i, c := range []Content{old, now} {
		f, err := j.form(ctx, k, p, c)
		switch {
		case ctx.Err() != nil:
			return Verdict{}, context.Cause(ctx)
		case isUnjudged(err):
			return Verdict{What: fmt.Sprintf("%s content can't be judged: %v", [2]string{"earlier", "new"}[i], err)}, nil
		case err != nil:
			return Verdict{}, err
		}
		forms[i] = f
	}
	if forms[0].sum != forms[1].sum {
		return Verdict{What: "more than noise differs"}, nil
	}
	v := Verdict{Same: true, What: forms[0].differs(forms[1])}
	if k == Compiled {
		for i, f := range forms {
			v.Quoted[i] = uint32(f.noise[0].values[0])
		}
	}
	return v, nil
}

// isUnjudged tells what a content itself is to blame for.
func isUnjudged(err error) bool {
	for _, e := range []error{
		errUnjudged, wrap.ErrInvalid, wrap.ErrLimit, installed.ErrDamaged, installed.ErrBudget, rpmdb.ErrNoForm,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// form makes the form of a content.
func (j *Judge) form(ctx context.Context, k Kind, p string, c Content) (*form, error) {
	if err := j.spend(c.Size()); err != nil {
		return nil, err
	}
	switch k {
	case Initramfs:
		return j.initramfs(ctx, c)
	case Compressed:
		return j.compressed(ctx, decoderAt(p), c)
	case RPMDatabase:
		return packages(ctx, c)
	case Compiled:
		return compiled(ctx, c)
	}
	return nil, unjudged("no kind of content that is judged")
}

// spend takes bytes off what may be read.
func (j *Judge) spend(n int64) error {
	if j.left -= n; j.left < 0 {
		return unjudged("more than %d bytes", j.lim.Plain)
	}
	return nil
}

// form is a content apart from its noise.
type form struct {
	sum   [sha256.Size]byte
	noise []noise
}

// noise is one kind of values that were left out.
type noise struct {
	what, of string   // "times", "members"
	values   []uint64 // in the content's order
}

// differs names the noise in which two contents of one form differ.
func (f *form) differs(o *form) string {
	var out []string
	for i, n := range f.noise {
		count := 0
		for k, v := range n.values {
			if v != o.noise[i].values[k] {
				count++
			}
		}
		switch {
		case count == len(n.values) && count > 0:
			out = append(out, fmt.Sprintf("%s of %s %s", n.what, thousands(count), n.of))
		case count > 0:
			out = append(out, fmt.Sprintf("%s of %s of %s %s", n.what, thousands(count), thousands(len(n.values)), n.of))
		}
	}
	if len(out) == 0 {
		return "how it is stored"
	}
	return strings.Join(out, ", ")
}

// thousands writes a number with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
