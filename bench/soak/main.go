// Command soak runs strata serve under fire: clients pull while tags move, the upstream fails in every way, proxies are
// killed, garbage is collected and the store is too small. Every image that a client got whole is held against its source,
// and when nothing is wrong any more every tag must be served and verified.
//
//	go run ./bench/soak [-duration 10m] [-replicas 2 -s3 http://HOST:PORT -bucket NAME -redis HOST:PORT]
//	go run ./bench/soak -crowd 1000 -image DIR:TAG
//
// With -crowd nothing is broken: so many clients pull one cold image at the same time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/strata-oci/strata/bench/process"
)

// options are the flags.
type options struct {
	duration          time.Duration
	seed              uint64
	clients, replicas int
	tags              int
	quota             string
	s3, bucket, redis string
	strata            string
	crowd             int
	image             string
	killOne           bool
	keep              string
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "how long it goes on")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "what happens when")
	flag.IntVar(&o.clients, "clients", 6, "clients at once")
	flag.IntVar(&o.replicas, "replicas", 1, "proxies on one store; more than one needs -s3 and -redis")
	flag.IntVar(&o.tags, "tags", 4, "tags that move")
	flag.StringVar(&o.quota, "quota", "128MiB", "quota of the store")
	flag.StringVar(&o.s3, "s3", "", "S3 endpoint; account in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	flag.StringVar(&o.bucket, "bucket", "strata", "bucket at the S3 endpoint, empty")
	flag.StringVar(&o.redis, "redis", "", "address of a Redis")
	flag.StringVar(&o.strata, "strata", "", "the program to test; default: built from this checkout")
	flag.IntVar(&o.crowd, "crowd", 0, "so many clients pull one cold image, and nothing else happens")
	flag.StringVar(&o.image, "image", "", "with -crowd: the image, DIR:TAG of an OCI layout")
	flag.BoolVar(&o.killOne, "kill", false, "with -crowd and two replicas: kill one meanwhile")
	flag.StringVar(&o.keep, "work", "", "directory for all data, which then stays; default: a temporary one")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

var errBroken = errors.New("promises were broken")

func run(ctx context.Context, o options, out io.Writer) (err error) {
	if o.replicas > 1 && (o.s3 == "" || o.redis == "") {
		return errors.New("-replicas needs -s3 and -redis")
	}
	work := o.keep
	if work == "" {
		if work, err = os.MkdirTemp("", "strata-soak-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	if o.strata == "" {
		o.strata = filepath.Join(work, "strata")
		if err := process.BuildStrata(ctx, o.strata); err != nil {
			return err
		}
	}
	if o.crowd > 0 {
		return crowd(ctx, o, work, out)
	}
	return soak(ctx, o, work, out)
}

func soak(ctx context.Context, o options, work string, out io.Writer) error {
	fmt.Fprintf(out, "seed %d, %s, %d clients, %d replicas\n", o.seed, o.duration, o.clients, o.replicas)
	w, err := newWorld(ctx, o, work)
	if err != nil {
		return err
	}
	err = w.play(ctx)
	if err == nil {
		w.settle(ctx)
	}
	for _, r := range w.replicas {
		r.remember()
		fmt.Fprintf(out, "replica %d: peak memory %d MiB\n", r.number, r.peak>>20)
	}
	err = errors.Join(err, w.stop())
	w.events.write(out)
	for _, v := range w.broken.list() {
		fmt.Fprintln(out, "BROKEN:", v)
		err = errors.Join(err, errBroken)
	}
	return err
}

// play runs clients and chaos for the time that was asked for.
func (w *world) play(ctx context.Context) error {
	timed, stop := context.WithTimeout(ctx, w.duration)
	defer stop()
	var wg sync.WaitGroup
	for i := range w.clients {
		wg.Go(func() { w.newClient(uint64(i) + 1).run(timed) })
	}
	problems := make([]error, len(w.chaos()))
	for i, part := range w.chaos() {
		wg.Go(func() {
			if problems[i] = part(timed, rand.New(rand.NewPCG(w.seed, 1000+uint64(i)))); problems[i] != nil {
				stop()
			}
		})
	}
	wg.Wait()
	return errors.Join(append(problems, ctx.Err())...)
}
