package catalog

import (
	"errors"
	"time"
)

// MaxSavedDays is how many days are remembered of a repository.
const MaxSavedDays = 400

// Savings are what pulls of a repository took and would have taken of its source, by day.
type Savings struct {
	// Days are ascending.
	Days []SavedDay `json:"days"`
}

// SavedDay is a day of them. Source may be less than Sent.
type SavedDay struct {
	// Day is written 2006-01-02, in UTC.
	Day string `json:"day"`
	// Sent are the bytes of the layers that were sent, Source those that the same pulls would have taken of the source
	// image, and Pulls how many pulls these were; the last two are estimates.
	Sent   int64   `json:"sent_bytes"`
	Source int64   `json:"source_bytes"`
	Pulls  float64 `json:"pulls"`
}

func (s *Savings) check() error {
	if len(s.Days) > MaxSavedDays {
		return errors.New("it has too many days")
	}
	for i, d := range s.Days {
		if _, err := time.Parse(time.DateOnly, d.Day); err != nil || i > 0 && s.Days[i-1].Day >= d.Day || d.Sent < 0 {
			return errors.New("a day makes no sense, or is not in its place")
		}
	}
	return nil
}

func savingsKind() kind[string, Savings] {
	return kind[string, Savings]{name: KindSavings, encode: asItIs, decode: anyKey, check: (*Savings).check}
}
