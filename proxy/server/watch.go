package server

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/strata-oci/strata/proxy/admin"
	"github.com/strata-oci/strata/proxy/config"
	"github.com/strata-oci/strata/proxy/lease"
	"github.com/strata-oci/strata/proxy/name"
	"github.com/strata-oci/strata/proxy/operate"
	"github.com/strata-oci/strata/proxy/server/wiring"
	"github.com/strata-oci/strata/proxy/watch"
)

// watched are the images that the configuration has watched.
type watched struct {
	live  func() *config.Config
	rooms *wiring.Rooms
	names name.Parser
	ahead tracedWarmer
}

var _ watch.Images = watched{}

// Targets implements watch.Images: what rules name in full, and what was pulled and matches a rule.
func (w watched) Targets(ctx context.Context) ([]watch.Target, error) {
	var names []string
	patterns := false
	for _, r := range w.live().Repositories {
		if !r.Watch.Enabled() {
			continue
		}
		if name := r.Literal(); name != "" {
			names = append(names, name)
		} else {
			patterns = true
		}
	}
	if patterns {
		known, err := w.rooms.Lists.PulledRepositories(ctx)
		if err != nil {
			return nil, err
		}
		names = append(names, known...)
	}
	slices.Sort(names)
	var out []watch.Target
	for _, name := range slices.Compact(names) {
		if rule := w.live().Rule(name); rule.Watch.Enabled() {
			out = append(out,
				watch.Target{Repository: name, Interval: time.Duration(rule.Watch.Interval), Tags: rule.Watch.Tags})
		}
	}
	return out, nil
}

// Tags implements watch.Images.
func (w watched) Tags(ctx context.Context, repository string) ([]string, error) {
	repo, err := w.names.Repository(repository, "")
	if err != nil {
		return nil, err
	}
	return w.rooms.Lists.UpstreamTags(ctx, repo)
}

// Refresh implements watch.Images.
func (w watched) Refresh(ctx context.Context, ref string) error {
	return w.ahead.Warm(ctx, ref, func(operate.WarmEvent) {})
}

// wanted reports whether a tag that was pushed is to be had: it is watched, or was pulled before.
func (w watched) wanted(ctx context.Context, repository, tag string) bool {
	rule := w.live().Rule(repository)
	if rule.Watch.Enabled() && watch.Matches(rule.Watch.Tags, tag) {
		return true
	}
	repo, err := w.names.Repository(repository, "")
	return err == nil && w.rooms.Tags.Pulled(ctx, repo, name.Reference(tag))
}

// startWatch starts watching and returns the operators' handler with the one for notifications before it.
func (s *Server) startWatch(cfg *config.Config, leases *lease.Leases, operators http.Handler,
	log *slog.Logger) (http.Handler, error) {
	images := watched{s.live.Load, s.rooms, s.names(), tracedWarmer{s.rooms.Warmer, s.traces}}
	secret := ""
	if cfg.Notifications.Enabled() {
		var err error
		if secret, err = cfg.Notifications.ReadSecret(); err != nil {
			return nil, err
		}
	}
	s.watcher = watch.Start(watch.Options{Images: images, Leases: leases, Logger: log})
	if secret == "" {
		return operators, nil
	}
	hook := watch.NewWebhook(watch.WebhookOptions{
		Secret: secret, Hosts: func() map[string]string { return eventHosts(s.live.Load()) }, Wanted: images.wanted,
		Notify: s.watcher.Notify, Wrong: s.wrongNotification, Logger: log,
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == admin.NotificationsPath {
			hook.ServeHTTP(w, r)
			return
		}
		operators.ServeHTTP(w, r)
	}), nil
}

// eventHosts maps what registries may call themselves to the names of upstreams.
func eventHosts(cfg *config.Config) map[string]string {
	hosts := map[string]string{}
	for _, name := range cfg.Hosts() {
		if u, err := url.Parse(cfg.Upstream(name).URL); err == nil && u.Host != "" {
			hosts[strings.ToLower(u.Host)] = name
		}
	}
	for _, name := range cfg.Hosts() {
		hosts[strings.ToLower(name)] = name // its name goes before another's address
	}
	return hosts
}
