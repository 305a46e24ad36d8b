package rechunk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// trimPatience is how long TrimLineage waits for a lineage's lock: less than any image takes.
const trimPatience = time.Second

// TrimLineage removes the versions of a lineage record for which keep, called with their position from the newest, says no.
// The newest always stays. key is the record's. It reports busy, and changes nothing, while an image of the lineage is being
// made: that would put the versions back.
func (e *Engine) TrimLineage(ctx context.Context, key string, keep func(i int, v *Version) bool) (busy bool, err error) {
	waiting, stop := context.WithTimeout(ctx, trimPatience)
	_, held, unlock, err := e.lock(waiting, key)
	stop()
	switch {
	case err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
		return true, nil
	case err != nil:
		return false, err
	}
	defer unlock()
	var l Lineage
	if known, err := e.getJSON(ctx, KindLineage, key, &l); !known || err != nil {
		return false, err
	}
	var left []Version
	for i := range l.Versions {
		if i == 0 || keep(i, &l.Versions[i]) {
			left = append(left, l.Versions[i])
		}
	}
	if len(left) == len(l.Versions) {
		return false, nil
	}
	if err := e.putLineage(ctx, key, held, left, nil); err != nil {
		return false, fmt.Errorf("trimming: %w", err)
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
