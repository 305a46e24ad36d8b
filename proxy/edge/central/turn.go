package central

import "context"

// Turn waits, behind the deltas that somebody asked for, for processors to make something beside deltas between Stratas. It
// returns how many there are, and what gives them back.
func (c *Central) Turn(ctx context.Context) (cpus int, leave func(), err error) {
	cpus, leave, err = c.line.enter(ctx, true, nil)
	if err == nil {
		c.tell()
	}
	return cpus, leave, err
}
