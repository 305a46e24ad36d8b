package rechunk

import (
	"context"
	"fmt"
	"strings"
)

// TrimLineage removes the versions of a lineage record for which keep, called with their position from the newest, says no. The newest
// always stays. key is the record's. It reports busy, and changes nothing, while an image of the lineage is being made in this process:
// that one would put the versions back.
func (e *Engine) TrimLineage(ctx context.Context, key string, keep func(i int, v *Version) bool) (busy bool, err error) {
	unlock, ok := e.tryLock(key)
	if !ok {
		return true, nil
	}
	defer unlock()
	var l, trimmed Lineage
	if known, err := e.getJSON(ctx, KindLineage, key, &l); !known || err != nil {
		return false, err
	}
	for i := range l.Versions {
		if i == 0 || keep(i, &l.Versions[i]) {
			trimmed.Versions = append(trimmed.Versions, l.Versions[i])
		}
	}
	if len(trimmed.Versions) == len(l.Versions) {
		return false, nil
	}
	if err := e.putJSON(ctx, KindLineage, key, trimmed); err != nil {
		return false, fmt.Errorf("trimming lineage %q: %w", key, err)
	}
	return false, nil
}

// SplitLineageKey takes the key of a lineage record apart: the lineage's name and the platform.
func SplitLineageKey(key string) (lineage, platform string, ok bool) {
	i := strings.LastIndexByte(key, ' ')
	if i <= 0 {
		return "", "", false
	}
	return key[:i], key[i+1:], true
}

// tryLock is lock for those who do not wait.
func (e *Engine) tryLock(key string) (unlock func(), ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.locks[key] != nil {
		return nil, false
	}
	l := &lineageLock{ch: make(chan struct{}, 1), users: 1}
	l.ch <- struct{}{}
	e.locks[key] = l
	return func() {
		<-l.ch
		e.mu.Lock()
		defer e.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(e.locks, key)
		}
	}, true
}
