package chunkstore_test

import (
	"errors"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/chunkstore/storetest"
)

// What is stored from a stream is what was expected, or nothing.
func TestPutFrom(t *testing.T) {
	t.Parallel()
	s := storetest.InMemory(t)
	want := chunkstore.Expected{Digest: digest.FromString("content"), Size: 7}
	broken := errors.New("it broke off")
	if err := s.PutFrom(t.Context(), want, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := s.PutFrom(t.Context(), want, strings.NewReader("another")); !errors.Is(err, chunkstore.ErrVerify) {
		t.Error(err)
	}
	if _, err := s.Stat(t.Context(), want.Digest); !errors.Is(err, chunkstore.ErrNotFound) {
		t.Error(err)
	}
	if err := s.PutFrom(t.Context(), want, strings.NewReader("content")); err != nil {
		t.Error(err)
	}
	if n, err := s.Stat(t.Context(), want.Digest); n != 7 || err != nil {
		t.Error(n, err)
	}
}
