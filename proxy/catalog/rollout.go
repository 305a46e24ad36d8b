package catalog

import (
	"errors"
	"time"

	"github.com/opencontainers/go-digest"
)

// Bounds of one roll-out.
const (
	// MaxRolled is how many versions of a tag are on their way to hosts at once, with the one that all have.
	MaxRolled = 16
	// MaxRolloutLog is how many changes are remembered.
	MaxRolloutLog = 100
	// MaxRolloutFirst is how many networks and identities get a version first, with those that the rule has named since.
	MaxRolloutFirst = 256
	// MaxRolloutText bounds a name or a reason, in bytes.
	MaxRolloutText = 512
)

// Rollout says which versions of a tag hosts get while not all get the newest, and who had a hand in it. What it says of a
// version's hosts only grows until a version is withdrawn, so that no host goes back to an older one.
type Rollout struct {
	// Versions are what the tag stood for, oldest first. The first is for all hosts; of the others, hosts get the newest
	// that reached them.
	Versions []RolledVersion `json:"versions"`
	// Held says that no version reaches more hosts than it did; nil while they go on.
	Held *RolloutStop `json:"held,omitempty"`
	// Log has what was changed, newest last.
	Log []RolloutEvent `json:"log,omitempty"`
	// Changes counts all that the log ever had.
	Changes int64 `json:"changes,omitempty"`
}

// UnderWay reports whether not all hosts get the newest version, or would not get the next one.
func (r *Rollout) UnderWay() bool { return r.Held != nil || !r.Versions[len(r.Versions)-1].Complete() }

// RolledVersion is one version of a tag.
type RolledVersion struct {
	// Image is as the tag's record had it.
	SourceDigest digest.Digest `json:"source_digest"`
	SourceType   string        `json:"source_media_type"`
	Digest       digest.Digest `json:"digest"`
	MediaType    string        `json:"media_type"`
	Served       Served        `json:"served"`
	Policy       string        `json:"policy,omitempty"`
	// MadeAt is when it came, from which the rule's times count, and PausedSeconds for how long it was held since.
	MadeAt        time.Time `json:"made_at"`
	PausedSeconds float64   `json:"paused_seconds,omitempty"`
	// Released: the rule's hold does not count.
	Released bool `json:"released,omitempty"`
	// BegunAt is when the first hosts could get it; zero: nobody does.
	BegunAt time.Time `json:"begun_at,omitzero"`
	// Counted: the hosts that it reached before all got it are in records of Reached.
	Counted bool `json:"counted,omitempty"`
	// Share is the part of all hosts that get it, from 0 to 1, and StepAt when it last grew. First are networks and
	// identities that do, too.
	Share  float64   `json:"share"`
	StepAt time.Time `json:"step_at,omitzero"`
	First  []string  `json:"first,omitempty"`
	// JudgedFrom is since when hosts that got it are told apart by whether they were seen again: an operator let it go on
	// whatever became of those before. Zero: all are.
	JudgedFrom time.Time `json:"judged_from,omitzero"`
	// RevertedAt is when the tag went back to a version before: it reaches no more hosts since. Zero: it did not.
	RevertedAt time.Time `json:"reverted_at,omitzero"`
	// Withdrawn says that no host gets it any longer; nil: it counts.
	Withdrawn *RolloutStop `json:"withdrawn,omitempty"`
}

// Complete reports whether all hosts get a version, if they get no newer one.
func (v *RolledVersion) Complete() bool { return v.Share >= 1 && v.Withdrawn == nil }

// RolloutStop is why a roll-out does not go on.
type RolloutStop struct {
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
}

// RolloutEvent is a change of a roll-out.
type RolloutEvent struct {
	At time.Time `json:"at"`
	// By is an operator's name, "strata" for what the rule said, or "automatic" for what hosts or alerts did.
	By     string `json:"by"`
	Action string `json:"action"`
	// Source is the version that it is about, and Note what people may want to know.
	Source digest.Digest `json:"source_digest,omitempty"`
	Note   string        `json:"note,omitempty"`
}

func (r *Rollout) check() error {
	if len(r.Versions) == 0 || len(r.Versions) > MaxRolled || len(r.Log) > MaxRolloutLog {
		return errors.New("it has no version, too many, or too long a log")
	}
	for i := range r.Versions {
		if err := r.Versions[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func (v *RolledVersion) check() error {
	switch {
	case v.SourceDigest.Validate() != nil || v.Digest.Validate() != nil || v.MediaType == "" || !v.Served.valid():
		return errNoImage
	case !(v.Share >= 0 && v.Share <= 1) || len(v.First) > MaxRolloutFirst:
		return errors.New("the hosts of a version make no sense")
	}
	return nil
}

// lead is the image that hosts get.
func (v *RolledVersion) lead() Target {
	use := ServedLayer
	if v.Digest == v.SourceDigest {
		use = OriginalLayer
	}
	return Target{v.Digest, use, true}
}

// A roll-out keeps all that hosts may get, however short the lineage is. What was withdrawn stays by the rules of its
// lineage, and for as long as the tag stands for it.
func rolloutKind() kind[TagKey, Rollout] {
	return kind[TagKey, Rollout]{
		name: KindRollout, encode: TagKey.String, decode: ParseTagKey, vital: true, check: (*Rollout).check,
		leads: func(_ TagKey, r *Rollout) Leads {
			var out Leads
			for i := range r.Versions {
				if v := &r.Versions[i]; v.Withdrawn == nil {
					out.To = append(out.To, v.lead())
				}
			}
			return out
		},
	}
}
