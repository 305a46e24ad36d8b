package workspace_test

import (
	"errors"
	"testing"

	"github.com/strata-oci/strata/rechunk/tree"
	"github.com/strata-oci/strata/rechunk/workspace"
)

func TestBudget(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		limit, others, own, n int64
		take, whole           error
	}{
		"no bound":                  {0, 1 << 40, 0, 1 << 40, nil, nil},
		"up to the bound":           {100, 60, 20, 20, nil, nil},
		"others have it":            {100, 60, 20, 21, workspace.ErrUsedUp, workspace.ErrUsedUp},
		"half each":                 {100, 50, 50, 1, workspace.ErrUsedUp, workspace.ErrUsedUp},
		"one has most":              {100, 20, 70, 11, tree.ErrLimit, workspace.ErrUsedUp},
		"one has all":               {100, 0, 100, 1, tree.ErrLimit, nil},
		"one wants more than all":   {100, 0, 0, 101, tree.ErrLimit, nil},
		"beside one that is beyond": {100, 150, 0, 1, workspace.ErrUsedUp, workspace.ErrUsedUp},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for whole, take := range map[bool]func(b *workspace.Budget) error{
				false: func(b *workspace.Budget) error { return b.Take(tc.own, tc.n) },
				true:  func(b *workspace.Budget) error { return b.TakeWhole(tc.own, tc.n) },
			} {
				b, wanted := workspace.New(tc.limit), tc.take
				if whole {
					wanted = tc.whole
				}
				if err := errors.Join(b.Take(0, tc.own), b.TakeWhole(tc.own, tc.others)); err != nil {
					t.Fatal(err)
				}
				err := take(b)
				if !errors.Is(err, wanted) || wanted == nil && err != nil || errors.Is(err, tree.ErrLimit) &&
					wanted != tree.ErrLimit {
					t.Errorf("whole %t: got %v, want %v", whole, err, wanted)
				}
				booked := tc.others + tc.own
				if err == nil {
					booked += tc.n
				}
				if n := b.Used(); n != booked {
					t.Errorf("whole %t: %d bytes are booked, want %d", whole, n, booked)
				}
				if b.Give(booked); b.Used() != 0 {
					t.Errorf("%d bytes are left", b.Used())
				}
			}
		})
	}
}
