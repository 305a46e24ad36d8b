package origin_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/strata-oci/strata/rechunk/tree/origin"
)

// The first error of the source is kept, and its end is none.
func TestReader(t *testing.T) {
	t.Parallel()
	first, second := errors.New("first"), errors.New("second")
	for name, tc := range map[string]struct {
		source io.Reader
		want   error
	}{
		"well":   {strings.NewReader("text"), nil},
		"broken": {io.MultiReader(strings.NewReader("text"), iotest.ErrReader(first)), first},
		"twice":  {&failing{first, second}, first},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := origin.New(tc.source)
			for range 8 {
				_, _ = r.Read(make([]byte, 4)) // Err tells
			}
			if err := r.Err(); err != tc.want {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// failing fails with one error after another.
type failing []error

func (f *failing) Read([]byte) (int, error) {
	if len(*f) == 0 {
		return 0, io.EOF
	}
	err := (*f)[0]
	*f = (*f)[1:]
	return 0, err
}
