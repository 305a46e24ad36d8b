package config

import "time"

// GC says when what nobody needs is removed from the store, and what counts as needed beside the repositories' rules.
type GC struct {
	// Interval is the time between two runs. 0 means that none starts by itself.
	Interval Duration `yaml:"interval"`
	// Grace is how long content that no record leads to stays in a store that other processes may be using. It is longer
	// than the longest job.
	Grace Duration `yaml:"grace"`
	// KeepPulled is how long an image that was pulled stays, though no tag and no lineage needs it.
	KeepPulled Duration `yaml:"keep_pulled"`
}

// Scrub says how often what is stored is read and compared with its digest, and at which rate.
type Scrub struct {
	// Interval is the time from the start of one pass to that of the next. 0 means that none starts by itself.
	Interval Duration `yaml:"interval"`
	// Rate bounds the reading, in bytes a second.
	Rate ByteSize `yaml:"rate"`
	// KeepDamaged is how long damaged content stays in quarantine.
	KeepDamaged Duration `yaml:"keep_damaged"`
}

func defaultGC() GC {
	return GC{Interval: Duration(24 * time.Hour), Grace: Duration(6 * time.Hour), KeepPulled: Duration(7 * 24 * time.Hour)}
}

func defaultScrub() Scrub {
	return Scrub{Interval: Duration(30 * 24 * time.Hour), Rate: 20 << 20, KeepDamaged: Duration(7 * 24 * time.Hour)}
}

// Bounds of what an operator may set.
const (
	leastGrace = 15 * time.Minute // longer than chunkstore.FreshFor
	leastQuota = 100 << 20
	leastRate  = 64 << 10
	mostDays   = 36_500
)

func (v *validator) upkeep(c *Config) {
	v.duration("gc.interval", c.GC.Interval, true)
	v.duration("gc.grace", c.GC.Grace, false)
	if time.Duration(c.GC.Grace) < leastGrace && c.GC.Grace > 0 {
		v.problem("gc.grace", "%s is too short for the jobs of other processes on the same store: write at least %s",
			c.GC.Grace, leastGrace)
	}
	v.duration("gc.keep_pulled", c.GC.KeepPulled, true)
	v.duration("scrub.interval", c.Scrub.Interval, true)
	v.duration("scrub.keep_damaged", c.Scrub.KeepDamaged, true)
	if c.Scrub.Rate < leastRate {
		v.problem("scrub.rate", "%s a second would take for ever: write at least %s", c.Scrub.Rate, ByteSize(leastRate))
	}
	if c.Quota != 0 && c.Quota < leastQuota {
		v.problem("quota", "%s is less than one image: write at least %s, or 0 for no quota", c.Quota, ByteSize(leastQuota))
	}
	if c.MinFree < 0 {
		v.problem("min_free", "is negative: write 0 to leave nothing free")
	}
	if c.WorkBytes < 0 {
		v.problem("work_bytes", "is negative: write 0 for no bound")
	}
}
