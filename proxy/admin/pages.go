package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/strata-oci/strata/proxy/admin/pages"
	"github.com/strata-oci/strata/proxy/operate"
)

// showPages adds the operators' pages, and what answers where there is none.
func (h *Handler) showPages() {
	o := pages.Options{
		Reports: h.status, Status: h.statusReport, Ready: h.notReady, Jobs: h.jobReports, Fleet: h.fleet, Hosts: h.hosts,
		Update: h.update, Actions: actions{h}, Operator: operator, Sessions: h.sessions, Ending: h.work.Done(),
		Savings: h.savings, Now: time.Now,
	}
	if h.login != nil {
		o.Login = func(w http.ResponseWriter, r *http.Request) (status int, message string) {
			_, status, message = h.letIn(w, r, ByPage)
			return status, message
		}
	}
	shown := pages.New(o)
	h.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if readsPages(r) {
			shown.Missing(w, r)
			return
		}
		writeError(w, http.StatusNotFound, "there is nothing at this path")
	})
	shown.Routes(func(path string, get, post http.HandlerFunc) {
		var methods []string
		if get != nil {
			methods = append(methods, http.MethodGet, http.MethodHead)
		}
		if post != nil {
			methods = append(methods, http.MethodPost)
		}
		h.handle(path, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				post(w, r)
				return
			}
			get(w, r)
		}, methods...)
	})
}

// update tells what an update costs and brings.
func (h *Handler) update(ctx context.Context, from, to, platform string) (*operate.Update, error) {
	if h.updates == nil {
		return nil, errNoUpdates
	}
	return h.updates.Update(ctx, from, to, platform, true)
}

var (
	errNoUpdates  = errors.New("this process does not know what updates cost")
	errNoRollouts = errors.New("this proxy has no roll-outs")
	errNoWarming  = errors.New("this proxy cannot warm")
)

// actions are what forms of pages do; they are checked like the API's requests.
type actions struct{ h *Handler }

// Hold implements pages.Actions.
func (a actions) Hold(ctx context.Context, reference, by, reason string) error {
	return a.byHand(reference, reason, func() error {
		_, err := a.h.rollouts.Hold(ctx, reference, by, reason)
		return err
	})
}

// Rollback implements pages.Actions.
func (a actions) Rollback(ctx context.Context, reference, by, reason string) error {
	return a.byHand(reference, reason, func() error {
		_, err := a.h.rollouts.Rollback(ctx, reference, by, reason)
		return err
	})
}

func (a actions) byHand(reference, reason string, do func() error) error {
	if a.h.rollouts == nil {
		return errNoRollouts
	}
	if err := (RolloutRequest{reference, reason}).check(); err != nil {
		return err
	}
	return do()
}

// Release implements pages.Actions.
func (a actions) Release(ctx context.Context, reference, by string, all bool) error {
	if err := checkReference(reference); err != nil {
		return err
	}
	_, err := a.h.releaseTag(ctx, ReleaseRequest{reference, all}, by)
	return err
}

// Warm implements pages.Actions.
func (a actions) Warm(reference string) error {
	if a.h.warm == nil {
		return errNoWarming
	}
	if a.h.ending() {
		return errShuttingDown
	}
	if err := checkReference(reference); err != nil {
		return err
	}
	tasks, err := a.h.warm.add([]string{reference})
	if err == nil {
		a.h.warmLater(tasks)
	}
	return err
}
