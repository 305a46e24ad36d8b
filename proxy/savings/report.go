package savings

import (
	"context"
	"maps"
	"slices"

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

// Report tells of all repositories, or of one, "host/path". It reads what changed. What it returns is shared: who asks
// changes nothing in it.
func (s *Savings) Report(ctx context.Context, only string) (*Report, error) {
	all, err := s.known.All(ctx)
	if err != nil {
		return nil, err
	}
	if only != "" {
		return reportOf(slices.DeleteFunc(slices.Clone(all), func(r summary) bool { return r.Key != only })), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if same := len(all) == len(s.of) && (len(all) == 0 || &all[0] == &s.of[0]); s.all == nil || !same {
		s.of, s.all = all, reportOf(all)
	}
	return s.all, nil
}

// reportOf adds up what is known of repositories.
func reportOf(all []summary) *Report {
	out := &Report{Repositories: []RepositoryReport{}}
	days := map[string]catalog.SavedDay{}
	for _, repository := range all {
		r := RepositoryReport{Name: repository.Key}
		for _, d := range repository.Of {
			r.Sent, r.Source, r.Pulls = r.Sent+d.Sent, r.Source+d.Source, r.Pulls+d.Pulls
			days[d.Day] = plus(days[d.Day], d)
		}
		out.Sent, out.Source = out.Sent+r.Sent, out.Source+r.Source
		out.Repositories = append(out.Repositories, r)
	}
	out.Days = make([]catalog.SavedDay, 0, len(days))
	for _, day := range slices.Sorted(maps.Keys(days)) {
		out.Days = append(out.Days, days[day])
	}
	return out
}
