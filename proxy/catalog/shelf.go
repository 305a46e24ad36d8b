package catalog

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

const (
	// maxPart bounds the bytes of summaries in one record, maxParts the records that hold the summaries of a table.
	maxPart  = 1 << 20
	maxParts = 64
	// worthShelving is how many records have to be read anew before summaries are written again.
	worthShelving = 32
)

// shelf is where the summaries of a table outlast the process. They are held against the listing of the table's records when
// they are read, so that they are never older than these: their loss, or another replica's writing, costs reading alone.
type shelf struct {
	name string
	read bool
}

// shelved are some summaries of a table in a record of their own.
type shelved[S any] struct {
	Summaries []shelvedSummary[S] `json:"summaries"`
}

// shelvedSummary is a summary with the key of its record.
type shelvedSummary[S any] struct {
	Key      string    `json:"key"`
	Modified time.Time `json:"modified"`
	Read     time.Time `json:"read"`
	Of       S         `json:"of"`
}

// Shelve has the summaries begin with those that Keep wrote under a name, which says by its end what they hold: "tag 1".
// It is called before any other method.
func (s *Summaries[K, V, S]) Shelve(name string) { s.shelf = &shelf{name: name} }

// prefix is what the keys of its records begin with; the rest is the number of a part.
func (s *shelf) prefix() string { return "summaries " + s.name + " " }

// part is a part of what is kept.
func (s *Summaries[K, V, S]) part(n int) *Table[struct{}, shelved[S]] {
	return newTable(s.table.source, upkeepKind[shelved[S]](s.shelf.prefix()+strconv.Itoa(n)))
}

// eachPart calls fn with the numbers of the parts that there are.
func (s *Summaries[K, V, S]) eachPart(ctx context.Context, fn func(n int) error) error {
	return s.table.store.WalkRecordsPrefix(ctx, kindUpkeep, s.shelf.prefix(), func(key string, _ time.Time) error {
		n, err := strconv.Atoi(strings.TrimPrefix(key, s.shelf.prefix()))
		if err != nil || n < 0 || n >= maxParts {
			return nil
		}
		return fn(n)
	})
}

// unshelve reads what was kept, once. The lock is held.
func (s *Summaries[K, V, S]) unshelve(ctx context.Context) error {
	if s.shelf == nil || s.shelf.read {
		return nil
	}
	err := s.eachPart(ctx, func(n int) error {
		kept, err := s.part(n).Get(ctx, struct{}{})
		if kept == nil || err != nil {
			return err
		}
		for _, one := range kept.Summaries {
			if key, ok := s.table.kind.decode(one.Key); ok {
				s.known[key] = summary[S]{one.Modified, one.Read, true, one.Of}
			}
		}
		return nil
	})
	s.shelf.read = err == nil
	return err
}

// Keep writes the summaries where the next process begins with them, if that spares it much.
func (s *Summaries[K, V, S]) Keep(ctx context.Context) error {
	if _, err := s.All(ctx); err != nil {
		return err
	}
	parts, anew := s.parts()
	if anew < worthShelving {
		return nil
	}
	for n, kept := range parts {
		if err := s.part(n).Put(ctx, struct{}{}, kept); err != nil {
			return err
		}
	}
	err := s.eachPart(ctx, func(n int) error {
		if n < len(parts) {
			return nil
		}
		return s.part(n).Delete(ctx, struct{}{})
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.anew -= anew
	return nil
}

// parts returns what is known, in parts that fit a record each, and how much of it is not kept yet. What they do not hold is
// read again by the next process.
func (s *Summaries[K, V, S]) parts() (out []*shelved[S], anew int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shelf == nil {
		return nil, 0
	}
	size := maxPart
	for _, one := range s.all {
		had := s.known[one.Key]
		next := shelvedSummary[S]{s.table.kind.encode(one.Key), had.modified, had.read, one.Of}
		b, err := json.Marshal(next)
		if err != nil || len(b) > maxPart {
			continue
		}
		if size += len(b) + 1; size > maxPart {
			if len(out) == maxParts {
				break
			}
			out, size = append(out, &shelved[S]{}), len(b)
		}
		last := out[len(out)-1]
		last.Summaries = append(last.Summaries, next)
	}
	return out, s.anew
}
