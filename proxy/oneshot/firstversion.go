package oneshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/strata-oci/strata/chunkstore"
	"github.com/strata-oci/strata/proxy/catalog"
)

// shownLineages is how many names of lineages a line has.
const shownLineages = 5

// errEnough ends a walk.
var errEnough = errors.New("enough")

// noteFirstVersion warns when a state has lineages, but none of the name that was asked for: a first version costs clients
// the whole image, and a mistyped name is more likely than a second lineage.
func noteFirstVersion(ctx context.Context, chunks *chunkstore.Store, name string, log *slog.Logger) error {
	if log == nil {
		return nil
	}
	lineages := catalog.New(chunks, log).Lineages
	known := false
	err := lineages.List(ctx, catalog.LineagesOf(name), func(catalog.LineageKey, time.Time) error {
		known = true
		return errEnough
	})
	if known || err != nil && !errors.Is(err, errEnough) {
		return passed(err)
	}
	var names []string
	more := 0
	err = lineages.List(ctx, catalog.Prefix[catalog.LineageKey]{}, func(key catalog.LineageKey, _ time.Time) error {
		switch {
		case len(names) > 0 && names[len(names)-1] == key.Lineage: // another platform
		case len(names) < shownLineages:
			names = append(names, key.Lineage)
		default:
			more++
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		return err
	}
	has := strings.Join(names, ", ")
	if more > 0 {
		has += fmt.Sprintf(" and %d more", more)
	}
	log.WarnContext(ctx, "no lineage of this name is in the state: this is its first version, which shares no layers with others",
		"name", name, "lineages", has)
	return nil
}

// passed is an error, unless it only ended a walk.
func passed(err error) error {
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
