package upkeep

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/lanrat/extsort"
	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/proxy/catalog"
)

// hash names content in little memory: a byte for the algorithm and 32 of the digest, in the order of digests. A longer
// digest counts by its beginning.
type hash [33]byte

// hashOf returns the hash of a digest; ok is false for what is none.
func hashOf(d digest.Digest) (h hash, ok bool) {
	algorithm, text, _ := strings.Cut(string(d), ":")
	switch digest.Algorithm(algorithm) {
	case digest.SHA256:
	case digest.SHA512:
		h[0] = 1
	default:
		return h, false
	}
	if len(text) < 64 {
		return h, false
	}
	_, err := hex.Decode(h[1:], []byte(text[:64]))
	return h, err == nil
}

// short returns a digest that its hash does not tell, else nothing.
func (h hash) short(d digest.Digest) digest.Digest {
	if h[0] == 0 {
		return ""
	}
	return d
}

// digest returns the digest, given what short returned for it.
func (h hash) digest(long digest.Digest) digest.Digest {
	if long != "" {
		return long
	}
	return digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(h[1:]))
}

func compareHashes(a, b hash) int { return bytes.Compare(a[:], b[:]) }

// sortAtOnce is how many entries are sorted in memory. The sorter holds five times as many: some 20 MB.
const sortAtOnce = 1 << 17

// sorter sorts entries in bounded memory: what does not fit lies in nameless files. It is for one goroutine.
type sorter[E any] struct {
	in     chan E
	out    <-chan E
	failed <-chan error
	stop   context.CancelFunc
	ended  chan struct{} // closed when all is sorted, or sorting has failed
}

// codec is how entries lie in files.
type codec[E any] struct {
	encode  func(E) ([]byte, error)
	decode  func([]byte) (E, error)
	compare func(a, b E) int
}

// newSorter begins to sort, with files in a directory, "" for the system's. The caller ends it with each or abandon.
func newSorter[E any](ctx context.Context, dir string, c codec[E]) *sorter[E] {
	s := &sorter[E]{in: make(chan E, 1024), ended: make(chan struct{})}
	ctx, s.stop = context.WithCancel(ctx)
	var ext *extsort.GenericSorter[E]
	ext, s.out, s.failed = extsort.Generic(s.in, c.decode, c.encode, c.compare,
		&extsort.Config{ChunkSize: sortAtOnce, NumWorkers: 1, ChanBuffSize: 1, SortedChanBuffSize: 1024, TempFilesDir: dir})
	go func() {
		defer close(s.ended)
		ext.Sort(ctx)
	}()
	return s
}

// add takes an entry.
func (s *sorter[E]) add(e E) error {
	select {
	case s.in <- e:
		return nil
	case <-s.ended:
		return fmt.Errorf("sorting what is needed: %w", <-s.failed)
	}
}

// each calls fn with the entries in ascending order.
func (s *sorter[E]) each(fn func(E) error) error {
	close(s.in)
	s.in = nil
	defer s.stop()
	<-s.ended
	var err error
	for e := range s.out {
		if err != nil {
			continue // the sorter ends when it could hand over all, or notices that it is to stop
		}
		if err = fn(e); err != nil {
			s.stop()
		}
	}
	if failed := <-s.failed; failed != nil && err == nil {
		err = fmt.Errorf("sorting what is needed: %w", failed)
	}
	return err
}

// abandon frees what the sorter holds. After each it does nothing.
func (s *sorter[E]) abandon() {
	if s.in == nil {
		return
	}
	close(s.in)
	s.in = nil
	s.stop()
	<-s.ended
	for range s.out {
	}
}

// entry is content with what it is there for.
type entry struct {
	hash hash
	use  catalog.Use
}

const entryBytes = len(hash{}) + 1

func entryCodec() codec[entry] {
	return codec[entry]{
		encode: func(e entry) ([]byte, error) { return append(e.hash[:], byte(e.use)), nil },
		decode: func(b []byte) (e entry, err error) {
			if len(b) != entryBytes {
				return e, errDamagedEntry
			}
			copy(e.hash[:], b)
			e.use = catalog.Use(b[len(e.hash)])
			return e, nil
		},
		compare: func(a, b entry) int { return compareHashes(a.hash, b.hash) },
	}
}

var errDamagedEntry = errors.New("an entry is damaged")

// blockEntries is how many entries of a set are read at once.
const blockEntries = 1024

// TempPattern is how the files of sets are named, as os.CreateTemp takes it, until they lose their name; SortPattern is how
// those of the sorter are, which has the process's number before the random one.
const (
	TempPattern = "strata-tmp-needed-*"
	SortPattern = "extsort_*_*"
)

// contentSet is content by digest with what it is there for, in a sorted nameless file: memory holds the first hash of each
// block, and one block. Looking up digests in ascending order reads each block once. It is for one goroutine.
type contentSet struct {
	file  *os.File
	first []hash // of each block
	block []byte // the one at hand
	at    int    // its number, -1 for none
}

// newContentSet makes a set of what a sorter was given, in a file in a directory, "" for the system's.
func newContentSet(dir string, sorted *sorter[entry]) (*contentSet, error) {
	defer sorted.abandon()
	f, err := os.CreateTemp(dir, TempPattern)
	if err != nil {
		return nil, fmt.Errorf("noting what is needed: %w", err)
	}
	s := &contentSet{file: f, at: -1}
	if err = os.Remove(f.Name()); err == nil {
		err = s.fill(sorted)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("noting what is needed: %w", err), f.Close())
	}
	return s, nil
}

// fill writes the entries, each hash once with all its uses.
func (s *contentSet) fill(sorted *sorter[entry]) error {
	block := make([]byte, 0, blockEntries*entryBytes)
	var last hash
	flush := func() error {
		_, err := s.file.Write(block)
		block = block[:0]
		return err
	}
	err := sorted.each(func(e entry) error {
		if n := len(block); n > 0 && e.hash == last {
			block[n-1] |= byte(e.use)
			return nil
		}
		if len(block) == cap(block) {
			if err := flush(); err != nil {
				return err
			}
		}
		if len(block) == 0 {
			s.first = append(s.first, e.hash)
		}
		block, last = append(append(block, e.hash[:]...), byte(e.use)), e.hash
		return nil
	})
	return errors.Join(err, flush())
}

// use returns what content is there for, 0 for what is not in the set.
func (s *contentSet) use(h hash) (catalog.Use, error) {
	n, exact := slices.BinarySearchFunc(s.first, h, compareHashes)
	if !exact {
		n--
	}
	if n < 0 {
		return 0, nil
	}
	if err := s.load(n); err != nil {
		return 0, err
	}
	low, high := 0, len(s.block)/entryBytes
	for low < high {
		mid := (low + high) / 2
		e := s.block[mid*entryBytes : (mid+1)*entryBytes]
		switch c := bytes.Compare(e[:len(h)], h[:]); {
		case c == 0:
			return catalog.Use(e[len(h)]), nil
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return 0, nil
}

// load reads a block.
func (s *contentSet) load(n int) error {
	if n == s.at {
		return nil
	}
	s.at = -1
	s.block = slices.Grow(s.block[:0], blockEntries*entryBytes)[:blockEntries*entryBytes]
	read, err := s.file.ReadAt(s.block, int64(n)*int64(len(s.block)))
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("looking up what is needed: %w", err)
	}
	s.block, s.at = s.block[:read], n
	return nil
}

// Close frees the set. A nil set may be closed.
func (s *contentSet) Close() error {
	if s == nil {
		return nil
	}
	return s.file.Close()
}
