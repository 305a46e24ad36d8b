package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/strata-oci/strata/bench/process"
)

// loadSpec says how an HTTP server is put under load: so many connections ask for one path, each again as soon as it is
// answered, or Every so often. Bodies are dropped.
type loadSpec struct {
	Address     string        `json:"address"`
	Path        string        `json:"path"`
	Connections int           `json:"connections"`
	Every       time.Duration `json:"every"`
	Duration    time.Duration `json:"duration"`
	// Lead is how long before that connections are opened, one after another, and ask already. None of it counts.
	Lead time.Duration `json:"lead"`
	// Buffer is what a connection reads at once, in bytes.
	Buffer int `json:"buffer"`
}

// loadResult is what a load generator saw.
type loadResult struct {
	Requests int           `json:"requests"`
	Bytes    int64         `json:"bytes"` // of bodies
	Elapsed  time.Duration `json:"elapsed"`
	P50      time.Duration `json:"p50"`
	P99      time.Duration `json:"p99"`
	Max      time.Duration `json:"max"`
}

func (r loadResult) perSecond() float64 { return float64(r.Requests) / r.Elapsed.Seconds() }
func (r loadResult) mibPerSecond() float64 {
	return mebibytes(r.Bytes) / r.Elapsed.Seconds()
}

const roleLoad = "role:load"

// loadRole is the load generator's process.
func loadRole(ctx context.Context, spec string, out io.Writer) error {
	var s loadSpec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return err
	}
	r, err := s.run(ctx)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// generate runs a load generator in a process of its own.
func (s loadSpec) generate(ctx context.Context) (loadResult, error) {
	var r loadResult
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	spec, err := json.Marshal(s)
	if err != nil {
		return r, err
	}
	_, out, err := process.Measure(ctx, self, roleLoad, string(spec))
	if err != nil {
		return r, fmt.Errorf("load on %s%s: %w", s.Address, s.Path, err)
	}
	return r, json.Unmarshal(out, &r)
}

// mostRequests bounds what a run remembers.
const mostRequests = 5_000_000

func (s loadSpec) run(ctx context.Context) (loadResult, error) {
	g, ctx := errgroup.WithContext(ctx)
	var mu sync.Mutex
	var all []time.Duration
	var total int64
	begin := time.Now().Add(s.Lead)
	for i := range s.Connections {
		g.Go(func() error {
			// Connections are spread over the lead, and paced requests over their interval, so that they don't come in
			// waves.
			share := func(d time.Duration) time.Duration { return d * time.Duration(i) / time.Duration(s.Connections) }
			c := &loadConnection{
				spec: s, first: begin.Add(share(s.Lead) - s.Lead), next: begin.Add(share(s.Every)), begin: begin,
				end:  begin.Add(s.Duration),
				most: mostRequests / s.Connections,
			}
			err := c.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			all, total = append(all, c.took...), total+c.bytes
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return loadResult{}, err
	}
	if len(all) == 0 {
		return loadResult{}, errors.New("no request was answered")
	}
	r := loadResult{Requests: len(all), Bytes: total, Elapsed: time.Since(begin)}
	slices.Sort(all)
	r.P50, r.P99, r.Max = all[len(all)/2], all[len(all)*99/100], all[len(all)-1]
	return r, nil
}

// loadConnection asks on one connection.
type loadConnection struct {
	spec  loadSpec
	first time.Time // when it is opened
	next  time.Time // of a paced request
	begin time.Time // of what counts
	end   time.Time
	most  int
	conn  io.Reader
	raw   syscall.RawConn
	buf   []byte
	took  []time.Duration
	bytes int64
}

func (c *loadConnection) run(ctx context.Context) error {
	time.Sleep(time.Until(c.first))
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.spec.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	c.conn, c.buf = conn, make([]byte, max(c.spec.Buffer, 4<<10))
	if c.raw, err = conn.(*net.TCPConn).SyscallConn(); err != nil {
		return err
	}
	// Without the media type distribution's registry has no OCI manifests.
	request := []byte("GET " + c.spec.Path + " HTTP/1.1\r\nHost: " + c.spec.Address + "\r\nUser-Agent: perf\r\nAccept: " +
		ocispec.MediaTypeImageManifest + ", */*\r\n\r\n")
	ask := func() (int64, error) {
		if _, err := conn.Write(request); err != nil {
			return 0, err
		}
		return c.answer()
	}
	if c.spec.Lead > 0 {
		if _, err := ask(); err != nil {
			return err
		}
	}
	for len(c.took) < c.most {
		if c.spec.Every > 0 {
			if c.next.After(c.end) {
				return nil
			}
			time.Sleep(time.Until(c.next))
			c.next = c.next.Add(c.spec.Every)
		}
		start := time.Now()
		if start.After(c.end) || ctx.Err() != nil {
			return nil
		}
		n, err := ask()
		if err != nil {
			return err
		}
		if start.Before(c.begin) {
			continue
		}
		c.took, c.bytes = append(c.took, time.Since(start)), c.bytes+n
	}
	return nil
}

// answer reads one answer to its end and returns the length of its body.
func (c *loadConnection) answer() (int64, error) {
	have := 0
	for {
		n, err := c.conn.Read(c.buf[have:])
		if err != nil {
			return 0, err
		}
		have += n
		end := bytes.Index(c.buf[:have], []byte("\r\n\r\n"))
		if end < 0 {
			if have == len(c.buf) {
				return 0, errors.New("header is too long")
			}
			continue
		}
		length, err := bodyLength(c.buf[:end])
		if err != nil {
			return 0, err
		}
		return length, c.discard(length - int64(have-end-4))
	}
}

// discard has the kernel drop what arrives, without a copy (MSG_TRUNC, tcp(7)): server and load share the machine, and
// clients of other machines cost a server nothing.
func (c *loadConnection) discard(n int64) error {
	for n > 0 {
		var k int
		var failed error
		err := c.raw.Read(func(fd uintptr) bool {
			k, _, failed = syscall.Recvfrom(int(fd), c.buf[:min(n, int64(len(c.buf)))], syscall.MSG_TRUNC)
			return !errors.Is(failed, syscall.EAGAIN)
		})
		switch {
		case err != nil:
			return err
		case errors.Is(failed, syscall.EINTR):
		case failed != nil:
			return failed
		case k == 0:
			return io.ErrUnexpectedEOF
		default:
			n -= int64(k)
		}
	}
	return nil
}

// bodyLength reads the header of a successful answer.
func bodyLength(header []byte) (int64, error) {
	if !bytes.HasPrefix(header, []byte("HTTP/1.1 200")) {
		line, _, _ := bytes.Cut(header, []byte("\r\n"))
		return 0, fmt.Errorf("answer %q", line)
	}
	for line := range bytes.SplitSeq(header, []byte("\r\n")) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		if ok && bytes.EqualFold(key, []byte("Content-Length")) {
			return strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
		}
	}
	return 0, errors.New("answer without Content-Length")
}
