package image

import (
	"errors"
	"strings"
	"testing"
)

// A document of very many members is refused before it is read.
func TestMembersAreBounded(t *testing.T) {
	many := strings.Repeat("{},", MaxMembers) + "{}"
	for name, read := range map[string]func() error{
		"manifest": func() error {
			_, err := ReadManifest([]byte(`{"schemaVersion":2,"layers":[` + many + `]}`))
			return err
		},
		"index": func() error {
			_, err := ParseIndex([]byte(`{"schemaVersion":2,"manifests":[` + many + `]}`))
			return err
		},
		"annotations": func() error {
			_, err := ReadManifest([]byte(`{"layers":[],"annotations":{` + strings.Repeat(`"a":"",`, MaxMembers) +
				`"b":""}}`))
			return err
		},
	} {
		allocated := testing.AllocsPerRun(1, func() {
			if err := read(); !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		})
		if allocated > 100 {
			t.Errorf("%s: %.0f allocations", name, allocated)
		}
	}
	if err := checkMembers("text", []byte(`{"a":"`+strings.Repeat(`,\"[`, 100)+`"}`), 1); err != nil {
		t.Error(err)
	}
}
