package pages

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// liveEvery is how often a page that somebody looks at is made anew, to see whether it looks different.
	liveEvery = 2 * time.Second
	// maxWatchers bounds those who wait for events at once.
	maxWatchers = 100
	// heartbeat keeps proxies between from taking a stream for dead.
	heartbeat = 15 * time.Second
	// maxStream bounds how long a stream lasts: browsers ask again, and are asked again who they are.
	maxStream = 10 * time.Minute
	// maxPage bounds the path of a page that is watched, in bytes.
	maxPage = 2048
)

// live tells browsers when a page would look different. Each page is made once for all who look at it.
type live struct {
	h   *Handler
	mux *http.ServeMux // of the pages, which leave their state in a probe

	mu       sync.Mutex
	watchers int
	watched  map[string]*watched
}

// watched is a page that somebody looks at.
type watched struct {
	watchers int // guarded by the mutex of live

	mu    sync.Mutex
	at    time.Time
	state string
}

// probe takes the state of a page in place of the page.
type probe struct {
	headers
	state string
}

func newLive(h *Handler) *live {
	l := &live{h: h, mux: http.NewServeMux(), watched: map[string]*watched{}}
	for path, make := range map[string]maker{
		"/{$}": h.overview, "/repositories": h.repositories, "/repositories/{name...}": h.repository,
		"/versions/{digest}": h.version, "/jobs": h.jobs, "/fleet": h.fleet, "/deltas": h.deltas,
	} {
		l.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if p, ok := w.(*probe); ok {
				d, _ := h.document(r.Context(), r, make)
				p.state = stateOf(d)
			}
		})
	}
	return l
}

// stateOf tells apart what pages show. Ages are not part of it, since browsers keep them up to date.
func stateOf(d *document) string {
	b, err := json.Marshal([]any{d.Title, d.Health, d.Status, d.Body})
	if err != nil {
		return "" // what cannot be told apart is never different
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:12])
}

// serve sends an event whenever the page looks different from the state that the browser has.
func (l *live) serve(w http.ResponseWriter, r *http.Request) {
	page := r.URL.Query().Get("page")
	if len(page) > maxPage || inside(page) != page {
		http.Error(w, "name a page", http.StatusBadRequest)
		return
	}
	of, ok := l.join(page)
	if !ok {
		w.Header().Set("Retry-After", "30")
		http.Error(w, "too many pages are being looked at", http.StatusServiceUnavailable)
		return
	}
	defer l.leave(page, of)
	control := http.NewResponseController(w)
	_, _ = control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	_, _ = fmt.Fprint(w, "retry: 3000\n\n")
	if control.Flush() != nil {
		return
	}
	known := r.Header.Get("Last-Event-ID")
	if known == "" {
		known = r.URL.Query().Get("state")
	}
	l.tell(w, r, page, of, known)
}

// tell sends events until the browser leaves or the listener ends.
func (l *live) tell(w http.ResponseWriter, r *http.Request, page string, of *watched, known string) {
	control := http.NewResponseController(w)
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	over := time.NewTimer(maxStream)
	defer over.Stop()
	quiet := time.Duration(0)
	for {
		select {
		case <-r.Context().Done():
			return
		case <-over.C:
			return
		case <-l.h.Ending:
			return
		case <-tick.C:
		}
		state := l.look(r, page, of)
		var err error
		switch quiet += liveEvery; {
		case state != known && state != "":
			known, quiet = state, 0
			_, err = fmt.Fprintf(w, "id: %s\nevent: changed\ndata: \n\n", state)
		case quiet >= heartbeat:
			quiet = 0
			_, err = fmt.Fprint(w, ": nothing changed\n\n")
		}
		if err != nil || control.Flush() != nil {
			return
		}
	}
}

// look returns the state of a page, which is not made more often than it has to be.
func (l *live) look(asked *http.Request, page string, of *watched) string {
	of.mu.Lock()
	defer of.mu.Unlock()
	if time.Since(of.at) < liveEvery/2 {
		return of.state
	}
	ctx, cancel := context.WithTimeout(asked.Context(), pageTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, page, nil)
	if err != nil || strings.HasPrefix(page, "//") {
		return ""
	}
	r.Host = asked.Host
	p := &probe{headers: headers{http.Header{}}}
	l.mux.ServeHTTP(p, r)
	if ctx.Err() == nil {
		of.state, of.at = p.state, time.Now()
	}
	return of.state
}

func (l *live) join(page string) (*watched, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchers >= maxWatchers {
		return nil, false
	}
	of := l.watched[page]
	if of == nil {
		of = &watched{}
		l.watched[page] = of
	}
	l.watchers++
	of.watchers++
	return of, true
}

func (l *live) leave(page string, of *watched) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchers--
	if of.watchers--; of.watchers == 0 {
		delete(l.watched, page)
	}
}
