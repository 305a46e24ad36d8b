package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"time"
)

// chaos is what goes wrong, and what is done meanwhile; each part runs until ctx ends.
func (w *world) chaos() []func(context.Context, *rand.Rand) error {
	return []func(context.Context, *rand.Rand) error{w.publishing, w.outages, w.kills, w.operating}
}

// mostTags bounds the tags that appear meanwhile.
const mostTags = 10

// publishing moves tags: mostly on, sometimes back.
func (w *world) publishing(ctx context.Context, r *rand.Rand) error {
	for ctx.Err() == nil {
		names := w.truth.names()
		if len(names) < mostTags && r.IntN(8) == 0 {
			if err := w.publish(fmt.Sprintf("os-0:new-%d", len(names)), system{name: "system 0"}.updated(r)); err != nil {
				return err
			}
			w.events.add("tag appeared")
		}
		tag := names[r.IntN(len(names))]
		old := w.truth.versions(tag)
		next := old[len(old)-1].updated(r)
		what := "tag moved on"
		if len(old) > 2 && r.IntN(6) == 0 {
			next, what = old[len(old)-2], "tag moved back"
		}
		if err := w.publish(tag, next); err != nil {
			return err
		}
		w.events.add(what)
		sleep(ctx, between(r, time.Second, 6*time.Second))
	}
	return nil
}

// outages breaks the upstream for a while, again and again.
func (w *world) outages(ctx context.Context, r *rand.Rand) error {
	for ctx.Err() == nil {
		sleep(ctx, between(r, 5*time.Second, 15*time.Second))
		f := 1 + fault(r.IntN(int(faults)-1))
		w.events.add("upstream " + f.String())
		w.upstream.set(f)
		sleep(ctx, between(r, 2*time.Second, 12*time.Second))
		w.upstream.set(none)
	}
	return nil
}

// kills ends proxies as a power cut would, and starts them again.
func (w *world) kills(ctx context.Context, r *rand.Rand) error {
	for {
		sleep(ctx, between(r, 8*time.Second, 25*time.Second))
		if ctx.Err() != nil {
			return nil
		}
		victim := w.replicas[r.IntN(len(w.replicas))]
		if err := victim.kill(); err != nil {
			return err
		}
		w.events.add("proxy killed")
		sleep(ctx, time.Duration(r.IntN(1000))*time.Millisecond)
		if err := victim.start(context.WithoutCancel(ctx)); err != nil {
			return fmt.Errorf("proxy does not come back: %w", err)
		}
	}
}

// operating runs the commands that operators run. A proxy that is killed meanwhile fails them.
func (w *world) operating(ctx context.Context, r *rand.Rand) error {
	commands := [][]string{{"gc"}, {"gc", "--dry-run"}, {"scrub"}, {"status"}}
	for ctx.Err() == nil {
		sleep(ctx, between(r, 3*time.Second, 10*time.Second))
		at := w.replicas[r.IntN(len(w.replicas))]
		args := append(commands[r.IntN(len(commands))], "--admin", "http://"+at.admin)
		what := "strata " + args[0]
		if err := exec.CommandContext(ctx, w.strata, args...).Run(); err != nil {
			what += ", interrupted"
		}
		if ctx.Err() == nil {
			w.events.add(what)
		}
	}
	return nil
}
