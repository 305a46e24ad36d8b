package pages

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/savings"
)

// perPage is how many repositories a page lists.
const perPage = 100

// repositories is the page that lists them.
type repositories struct {
	Query, Sort string
	Sorts       []choice
	List        []repositoryRow
	All, Found  int
	Page, Pages int
	Before      string // links
	After       string
}

// choice is a way to sort, with the page that does it.
type choice struct {
	Name, Label, Link string
	Chosen            bool
}

// repositoryRow is a repository in a list.
type repositoryRow struct {
	operate.RepositoryReport
	Shown  []operate.TagReport
	More   int   // tags that are not shown
	Source int64 // what updates would have cost
	// Pulled is what was saved in pulls, Took what they took.
	Pulled, Took int64
	Trouble      int // tags of which something is wrong
	// Rollouts are its tags' that are under way, Stopped those of them that wait for an operator.
	Rollouts, Stopped int
}

// shownTags is how many tags a row shows.
const shownTags = 6

// sorts are the orders of the list; the first is the usual one.
var sorts = []struct {
	name, label string
	less        func(a, b repositoryRow) int
}{
	{"name", "Name", func(a, b repositoryRow) int { return 0 }},
	{"trouble", "Trouble", func(a, b repositoryRow) int { return cmp.Compare(b.Trouble, a.Trouble) }},
	{"rollouts", "Roll-outs", func(a, b repositoryRow) int {
		return cmp.Or(cmp.Compare(b.Stopped, a.Stopped), cmp.Compare(b.Rollouts, a.Rollouts))
	}},
	{"pulled", "Saved in pulls", func(a, b repositoryRow) int { return cmp.Compare(b.Pulled, a.Pulled) }},
	{"saved", "Saved on updates", func(a,
		b repositoryRow) int {
		return cmp.Compare(b.UpdateBytesSaved, a.UpdateBytesSaved)
	}},
	{"versions", "Versions", func(a, b repositoryRow) int { return cmp.Compare(b.Versions, a.Versions) }},
	{"updated", "Updated", func(a, b repositoryRow) int { return b.UpdatedAt.Compare(a.UpdatedAt) }},
}

func (h *Handler) repositories(ctx context.Context, r *http.Request, _ *operate.StatusReport) (*view, error) {
	all, err := h.Reports.Repositories(ctx)
	if err != nil {
		return nil, err
	}
	q := r.URL.Query()
	p := &repositories{Query: q.Get("q"), Sort: sorts[0].name, All: len(all)}
	rows := find(all, p.Query)
	_, pulled, err := h.savedBy(ctx, "")
	if err != nil {
		return nil, err
	}
	addPulled(rows, pulled.Repositories)
	for _, s := range sorts {
		if s.name == q.Get("sort") {
			p.Sort = s.name
			slices.SortStableFunc(rows, s.less)
		}
	}
	for _, s := range sorts {
		p.Sorts = append(p.Sorts, choice{s.name, s.label, listLink(p.Query, s.name, 1), s.name == p.Sort})
	}
	p.Found = len(rows)
	p.Pages = max(1, (len(rows)+perPage-1)/perPage)
	n, _ := strconv.Atoi(q.Get("page")) // what is no number is the first page
	p.Page = min(max(n, 1), p.Pages)
	if p.Page > 1 {
		p.Before = listLink(p.Query, p.Sort, p.Page-1)
	}
	if p.Page < p.Pages {
		p.After = listLink(p.Query, p.Sort, p.Page+1)
	}
	p.List = rows[(p.Page-1)*perPage : min(p.Page*perPage, len(rows))]
	return &view{template: "repositories", title: "Repositories", section: "repositories", body: p}, nil
}

// find returns the repositories in whose names or tags all words of a query are, in the order of the list.
func find(all []operate.RepositoryReport, query string) []repositoryRow {
	words := strings.Fields(strings.ToLower(query))
	var rows []repositoryRow
	for _, repo := range all {
		if slices.ContainsFunc(words, func(w string) bool { return !mentions(repo, w) }) {
			continue
		}
		row := repositoryRow{RepositoryReport: repo, Source: repo.UpdateBytes + repo.UpdateBytesSaved,
			Shown: repo.Tags[:min(len(repo.Tags), shownTags)], More: max(0, len(repo.Tags)-shownTags)}
		for _, t := range repo.Tags {
			if t.Refused != "" || t.Failure != nil {
				row.Trouble++
			}
			if underWay(t) {
				row.Rollouts++
				if rolloutOf(t.Rollout).Bad {
					row.Stopped++
				}
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// addPulled tells rows, which are by name, what pulls took, in that order, too.
func addPulled(rows []repositoryRow, pulled []savings.RepositoryReport) {
	for i := range rows {
		at, ok := slices.BinarySearchFunc(pulled, rows[i].Name,
			func(r savings.RepositoryReport, name string) int { return strings.Compare(r.Name, name) })
		if ok {
			rows[i].Pulled, rows[i].Took = pulled[at].Source-pulled[at].Sent, pulled[at].Sent
		}
	}
}

func mentions(repo operate.RepositoryReport, word string) bool {
	return strings.Contains(strings.ToLower(repo.Name), word) || slices.ContainsFunc(repo.Tags,
		func(t operate.TagReport) bool { return strings.Contains(strings.ToLower(t.Tag), word) })
}

func listLink(query, sort string, page int) string {
	q := url.Values{}
	if query != "" {
		q.Set("q", query)
	}
	if sort != sorts[0].name {
		q.Set("sort", sort)
	}
	if page > 1 {
		q.Set("page", strconv.Itoa(page))
	}
	if len(q) == 0 {
		return "/repositories"
	}
	return "/repositories?" + q.Encode()
}
