package noise

import (
	"context"

	"github.com/strata-oci/strata/rechunk/pkgdb/rpmdb"
)

// packages makes the form of an rpm database.
func packages(ctx context.Context, c Content) (*form, error) {
	f, err := rpmdb.FormOf(ctx, c, c.Size())
	if err != nil {
		return nil, err
	}
	return &form{f.Sum, []noise{{"install times", "packages", f.Installed}}}, nil
}
