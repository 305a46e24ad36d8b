package delta

import "github.com/strata-oci/strata/rechunk/delta/wrap"

// The operations of a delta (docs/delta-format.md).
const (
	opEnd byte = iota
	opUse
	opCopy
	opAdd
	opNew
	opSeek
	opBetween
	opPart
	opBegin
	opDone
	opDrop
	_ // not used
	opUseCode
)

// Flags of opBegin.
const (
	flagKeep = 1 << iota
	flagEncoder
	flagsAll = flagKeep | flagEncoder
)

// checkBytes are those of a wrapped part's digest that stand in a delta.
const checkBytes = 4

// decoders are those of parts, by their numbers in a delta.
var decoders = [...]string{"", wrap.Gzip, wrap.Zstd, wrap.Xz, wrap.Deflate, wrap.ZstdTokens, wrap.GzipTokens,
	wrap.DeflateTokens}

// ref is a source's number in a delta.
type ref int64

// The kinds of ref.
func fileRef(n int) ref   { return ref(n) << 2 }
func slotRef(n int) ref   { return ref(n)<<2 | 1 }
func keptRef(n int) ref   { return ref(n)<<2 | 2 }
func (r ref) kind() int   { return int(r & 3) }
func (r ref) number() int { return int(r >> 2) }

const noRef ref = -1
