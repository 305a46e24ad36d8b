package pull

import (
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/name"
)

// maxTagLists bounds the tag lists in memory. The longest that an upstream gives takes some megabytes.
const maxTagLists = 16

// tagLists remember the tags of the repositories that were listed lately. The zero value is ready.
type tagLists struct {
	mu    sync.Mutex
	lists map[name.Repository]tagList
}

type tagList struct {
	tags []string
	at   time.Time
}

// get returns a list that is newer than a time, or nil. It is shared and must not be changed.
func (l *tagLists) get(repo name.Repository, after time.Time) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, ok := l.lists[repo]
	if !ok || !list.at.After(after) {
		return nil
	}
	return list.tags
}

// put remembers a list in place of the oldest.
func (l *tagLists) put(repo name.Repository, tags []string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lists == nil {
		l.lists = map[name.Repository]tagList{}
	}
	l.lists[repo] = tagList{tags, now}
	if len(l.lists) <= maxTagLists {
		return
	}
	oldest := repo
	for r, list := range l.lists {
		if list.at.Before(l.lists[oldest].at) {
			oldest = r
		}
	}
	delete(l.lists, oldest)
}
