package service

import (
	"bytes"
	"context"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// maxParsed bounds the records of a kind that are remembered, and with them the memory to some megabytes.
const maxParsed = 4096

// parsed remembers what records of a kind say, so that a hot one is not parsed on every request. It answers for exactly the bytes that
// were parsed, so that nobody has to tell it of changes. It is safe for concurrent use.
type parsed[T any] struct {
	seen *lru.Cache[string, parsedRecord[T]]
}

type parsedRecord[T any] struct {
	bytes []byte
	value T
}

func newParsed[T any]() parsed[T] {
	seen, _ := lru.New[string, parsedRecord[T]](maxParsed) // fails for sizes below 1 only
	return parsed[T]{seen}
}

// readRecord returns a record that was read so long ago at most, or nil when there is none or it is damaged. The value is the caller's,
// what it points at is not.
func readRecord[T any](ctx context.Context, s *Service, known parsed[T], kind, key string, age time.Duration) (*T, error) {
	b, err := s.recordBytes(ctx, kind, key, age)
	if b == nil || err != nil {
		return nil, err
	}
	rec, ok := known.seen.Get(key)
	if !ok || !bytes.Equal(rec.bytes, b) {
		rec = parsedRecord[T]{bytes: b}
		if !s.parseRecord(ctx, kind, key, b, &rec.value) {
			return nil, nil
		}
		known.seen.Add(key, rec)
	}
	return &rec.value, nil
}
