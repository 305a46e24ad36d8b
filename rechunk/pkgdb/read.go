package pkgdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-oci/strata/rechunk/pkgdb/alpm"
	"github.com/strata-oci/strata/rechunk/pkgdb/apk"
	"github.com/strata-oci/strata/rechunk/pkgdb/bundle"
	"github.com/strata-oci/strata/rechunk/pkgdb/dpkg"
	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/pkgdb/python"
	"github.com/strata-oci/strata/rechunk/pkgdb/rootfs"
	"github.com/strata-oci/strata/rechunk/pkgdb/rpmdb"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Read assigns every entry of t to a component; equal trees give equal results. contents gives the bytes of the databases
// and changelogs, work is an existing directory for copies of databases whose contents are no io.ReaderAt; they
// are gone when Read returns.
//
// The error is that of ctx, of contents or of work. A damaged database is no error: it becomes a warning, and what it said
// before the damage counts. So does what was found before a budget was spent (MaxFiles and its like): the rest of the files
// are unowned, and a warning names the budget.
func Read(ctx context.Context, t *tree.Tree, contents tree.Contents, work string) (*Owners, error) {
	view := rootfs.New(t, contents)
	components := newComponents()
	wrong := &warnings{}
	c := newClaims(t, view, components, wrong)
	err := readAll(ctx, databases(ctx, view, work, c), func(name string) { c.ecosystem = name }, wrong)
	if err != nil {
		return nil, err
	}
	besides := newClaims(t, view, components, wrong)
	ecosystem := func(name string) { besides.ecosystem = name }
	err = readAll(ctx, []database{
		{"python", func() error { return python.Read(ctx, view, besides) }},
		{"bundle", func() error { return bundle.Read(ctx, view, ecosystem, besides) }},
	}, ecosystem, wrong)
	if err != nil {
		return nil, err
	}
	of, err := (&assigner{tree: t, components: components, claims: c, besides: besides}).assign(ctx)
	if err != nil {
		return nil, err
	}
	for _, line := range c.over() {
		wrong.add(budgets, line)
	}
	o := &Owners{Warnings: wrong.list}
	o.Components, o.Of = components.finish(of)
	return o, nil
}

// readAll hands over what databases say; before tells of which package manager what follows is. What ended one is
// what is wrong with it first.
func readAll(ctx context.Context, all []database, before func(ecosystem string), wrong *warnings) error {
	for _, db := range all {
		before(db.name)
		err := db.read()
		if cause := ctx.Err(); cause != nil {
			return fmt.Errorf("read %s database: %w", db.name, cause)
		}
		switch {
		case errors.Is(err, installed.ErrDamaged), errors.Is(err, installed.ErrBudget), errors.Is(err, rootfs.ErrTooLarge):
			wrong.first(db.name, err.Error())
		case err != nil:
			return fmt.Errorf("read %s database: %w", db.name, err)
		}
	}
	return nil
}

// database reads the database of one package manager.
type database struct {
	name string
	read func() error
}

// databases are those of all package managers, in the order in which claims win.
func databases(ctx context.Context, view *rootfs.View, work string, s installed.Sink) []database {
	return []database{
		{"rpm", func() error { return rpmdb.Read(ctx, view, work, s) }},
		{"dpkg", func() error { return dpkg.Read(ctx, view, s) }},
		{"apk", func() error { return apk.Read(ctx, view, s) }},
		{"alpm", func() error { return alpm.Read(ctx, view, s) }},
	}
}
