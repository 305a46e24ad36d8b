package delta

// Options are what Make works with.
type Options struct {
	// Contents has the seed's files.
	Contents Contents
	// Chosen, if it is there, is called once with the files that may be opened, which are Header.Sources, before the first
	// is.
	Chosen func(sources []File)
	// Scratch holds contents that are too large for memory.
	Scratch Scratch
	// Encoders are tried on what is compressed inside of files; nil: nothing is wrapped again. What the other side has is
	// for the caller to choose: only Programs of Available are used.
	Encoders Encoders
	// Trials remembers what trying gave; nil: nothing does.
	Trials Trials
	// Worth is the least number of bytes that an encoder must save for each second that it takes; see WorthClass.
	Worth int64
	// Memory bounds what matching and contents take, in bytes; 0 stands for 512 MiB. Files that do not fit are matched more
	// coarsely. Beside it, compressors with their windows and batches take up to 192 MiB, and for each of Parallel what
	// waits to be written up to 1 MiB, and the window of what is unwrapped up to 128 MiB.
	Memory int64
	// Parallel is the number of files that are worked on at the same time; 0 stands for 1. The delta does not depend on it.
	Parallel int
}

// ApplyOptions are what Apply works with.
type ApplyOptions struct {
	// Contents has the seed's files. Errors of Open and of reading end in ErrSource.
	Contents Contents
	// Scratch holds what is too large for memory: unwrapped sources, wrapped parts, parts that are used again.
	Scratch Scratch
	// Encoders wrap; nil is fine for deltas without Programs.
	Encoders Encoders
	// Memory bounds what is held, in bytes; 0 stands for 256 MiB. What is unwrapped with a window of more than 64 MiB takes
	// up to 64 MiB more as long as it is.
	Memory int64
	// Parallel is the number of encoders that run at the same time; 0 stands for 1.
	Parallel int
}

// Limits bound what a delta may ask for. The zero value of a field stands for its default.
type Limits struct {
	// Tar is the length of the tar stream; default 64 GiB.
	Tar int64
	// Sources is the number of the seed's files; default 1,000,000.
	Sources int
	// Header is the length of the header, uncompressed; default 64 MiB.
	Header int64
	// Path is the length of a path; default 4096.
	Path int
	// Depth is how deep wrapped parts may lie in each other; default 8.
	Depth int
	// Parts is the number of parts that are made, and of those that are unwrapped or kept at the same time; default 100,000.
	Parts int
	// Unwrapped is the number of plain bytes that parts are unwrapped to, all together; default 64 GiB.
	Unwrapped int64
	// Part is the length of one part, wrapped or plain; default 8 GiB.
	Part int64
}

// OrDefault returns l with every zero field replaced by its default.
func (l Limits) OrDefault() Limits {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	count := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.Tar, 64<<30)
	count(&l.Sources, 1_000_000)
	def(&l.Header, 64<<20)
	count(&l.Path, 4096)
	count(&l.Depth, 8)
	count(&l.Parts, 100_000)
	def(&l.Unwrapped, 64<<30)
	def(&l.Part, 8<<30)
	return l
}

// worthClasses are what Worth is rounded down to, ascending, in bytes per second.
var worthClasses = [...]int64{0, 64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20}

// WorthClass rounds what a second of an encoder must save down to one of few classes, so that few variants of a delta exist:
// 0, 64 KiB, 256 KiB, 1, 4 and 16 MiB per second. A link that brings n bytes in a second is worth n, times the encoders that
// run at the same time. 0 is for the fewest bytes.
func WorthClass(n int64) int64 {
	class := worthClasses[0]
	for _, c := range worthClasses {
		if n >= c {
			class = c
		}
	}
	return class
}
