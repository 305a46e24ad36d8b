package savings

import (
	"context"

	"github.com/strata-oci/strata/proxy/catalog"
)

// Report tells what pulls took, and what they would have taken of the sources. What was saved is the difference; it may be
// negative.
type Report struct {
	Sent   int64 `json:"sent_bytes"`
	Source int64 `json:"source_bytes"`
	// Days are those with pulls, oldest first, at most the last 400 of each repository.
	Days []catalog.SavedDay `json:"days"`
	// Repositories are by name.
	Repositories []RepositoryReport `json:"repositories"`
}

// RepositoryReport adds up the days of a repository, "host/path".
type RepositoryReport struct {
	Name   string  `json:"name"`
	Sent   int64   `json:"sent_bytes"`
	Source int64   `json:"source_bytes"`
	Pulls  float64 `json:"pulls"`
}

// Report tells of all repositories, or of one, "host/path". It reads what changed.
func (s *Savings) Report(ctx context.Context, only string) (*Report, error) {
	all, err := s.known.All(ctx)
	if err != nil {
		return nil, err
	}
	out := &Report{Days: []catalog.SavedDay{}, Repositories: []RepositoryReport{}}
	for _, repository := range all {
		if only != "" && repository.Key != only {
			continue
		}
		r := RepositoryReport{Name: repository.Key}
		for _, d := range repository.Of {
			r.Sent, r.Source, r.Pulls = r.Sent+d.Sent, r.Source+d.Source, r.Pulls+d.Pulls
			out.Days = merge(out.Days, d)
		}
		out.Sent, out.Source = out.Sent+r.Sent, out.Source+r.Source
		out.Repositories = append(out.Repositories, r)
	}
	return out, nil
}
