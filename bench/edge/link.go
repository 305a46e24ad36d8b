package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// The two ends of the link. 198.18.0.0/15 is for benchmarks of networks (RFC 2544) and leads nowhere else.
const (
	centralAddress = "198.18.77.1"
	edgeAddress    = "198.18.77.2"
)

// link is a network of two: the central is on this machine, the edge in a network namespace, and all that passes between
// them goes over one virtual cable, whose bytes the kernel counts.
type link struct {
	namespace, here, there string
}

// newLink lays the cable. rate bounds what comes to the edge, as tc(8) writes rates ("10mbit"); empty: nothing does.
func newLink(ctx context.Context, rate string) (*link, error) {
	id := strconv.Itoa(os.Getpid() % 100000)
	l := &link{namespace: "strata-bench-" + id, here: "strb" + id + "a", there: "strb" + id + "b"}
	steps := [][]string{
		{"ip", "netns", "add", l.namespace},
		{"ip", "link", "add", l.here, "type", "veth", "peer", "name", l.there, "netns", l.namespace},
		{"ip", "address", "add", centralAddress + "/30", "dev", l.here},
		{"ip", "link", "set", l.here, "up"},
		l.inside("ip", "address", "add", edgeAddress+"/30", "dev", l.there),
		l.inside("ip", "link", "set", l.there, "up"),
		l.inside("ip", "link", "set", "lo", "up"),
	}
	if rate != "" {
		steps = append(steps, []string{"tc", "qdisc", "add", "dev", l.here, "root", "tbf", "rate", rate, "burst", "64kb",
			"latency", "100ms"})
	}
	for _, s := range steps {
		if out, err := exec.CommandContext(ctx, s[0], s[1:]...).CombinedOutput(); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w: %s", strings.Join(s, " "), err, out), l.close())
		}
	}
	return l, nil
}

// inside is a command that runs in the edge's namespace.
func (l *link) inside(command ...string) []string {
	return append([]string{"ip", "netns", "exec", l.namespace}, command...)
}

// received is how many bytes have come to the edge over the link so far, with all headers, as the kernel counts them.
func (l *link) received(ctx context.Context) (int64, error) {
	c := l.inside("cat", "/sys/class/net/"+l.there+"/statistics/rx_bytes")
	out, err := exec.CommandContext(ctx, c[0], c[1:]...).Output()
	if err != nil {
		return 0, fmt.Errorf("reading the link's counter: %w", err)
	}
	return strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
}

// close removes the namespace, and with it the cable.
func (l *link) close() error {
	return exec.Command("ip", "netns", "delete", l.namespace).Run()
}
