package chunks

import (
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/catalog"
)

// Job is an image that is cut into chunks, waits for that, or was lately.
type Job struct {
	ID  string
	Key catalog.ChunkIndexKey
	// Running says that it has begun, Ended when it ended, zero while it has not, and Err with what.
	Running bool
	Begun   time.Time
	Ended   time.Time
	Err     error
	// Done and Total are bytes of compressed layers.
	Done, Total int64
}

// keptJobs is how many jobs that ended are remembered.
const keptJobs = 32

// jobList has the jobs, the newest last. A nil Job is one that nobody looks at.
type jobList struct {
	mu   sync.Mutex
	last int
	all  []*Job
}

// add notes a job that waits.
func (l *jobList) add(key catalog.ChunkIndexKey, now time.Time) *Job {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	j := &Job{ID: "chunks-" + strconv.Itoa(l.last), Key: key, Begun: now}
	l.all = append(l.all, j)
	return j
}

// change changes a job that List may be reading.
func (l *jobList) change(j *Job, with func(*Job)) {
	if j == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	with(j)
}

// end notes how a job ended, and forgets the oldest of those that did.
func (l *jobList) end(j *Job, err error, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j.Running, j.Ended, j.Err = false, now, err
	over := -keptJobs
	for _, other := range l.all {
		if !other.Ended.IsZero() {
			over++
		}
	}
	l.all = slices.DeleteFunc(l.all, func(other *Job) bool {
		if over <= 0 || other.Ended.IsZero() {
			return false
		}
		over--
		return true
	})
}

// Jobs returns the images that are cut or wait for it, and those that were lately, newest first.
func (c *Chunks) Jobs() []Job {
	c.jobs.mu.Lock()
	defer c.jobs.mu.Unlock()
	out := make([]Job, 0, len(c.jobs.all))
	for _, j := range slices.Backward(c.jobs.all) {
		out = append(out, *j)
	}
	return out
}
