package limits

import (
	"hash/maphash"
	"io"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	maxBudgets = 1 << 16 // budgets that are remembered
	maxAnswers = 1 << 16
	// missLasts is how long the same question costs nothing again.
	missLasts = time.Minute
	// deltaPath is where layers are asked for as deltas, and deltaRefused the header of an answer that there is none of a
	// layer that is there.
	deltaPath = "/strata/v1/delta"
	// chunksPath begins the paths of images as chunks, and indexSuffix ends those of their indexes.
	chunksPath   = "/casync/"
	indexSuffix  = ".caibx"
	deltaRefused = "Strata-Delta-Refused"
	// deniedBy is the header of an answer that something is not given, and byPolicy says: as it is not signed. Nobody has
	// looked in vain then, nor was given anything.
	deniedBy = "Strata-Denied-By"
	byPolicy = "verify"
	// blobShare is the part of a question about a name that one about a blob costs while it is under way: a pull asks for
	// many blobs at once, which its manifest lists.
	blobShare = 0.1
)

// Misses are budgets for questions that lead nowhere: a client that asks for names at random has the proxy ask its
// upstreams, which count that. Each address has one, which fills at a rate and holds what comes in a minute, and another for
// each repository that gave it something: names at random use up nobody's pulls of what is there. What a client was given
// before costs nothing, nor does what it has been told lately not to be there, so that all hosts behind an address that look
// for the same missing thing pay once. It is safe for concurrent use.
type Misses struct {
	seed maphash.Seed

	mu      sync.Mutex
	budgets *simplelru.LRU[uint64, *budget] // by repository that is known to a client, else by address
	// answers are the questions of the latest answers, by client; a time until which a miss counts as known, zero: it was no
	// miss.
	answers *simplelru.LRU[uint64, time.Time]
	// asked are the questions under way, with how many ask.
	asked map[uint64]int
}

type budget struct {
	left float64
	at   time.Time
}

// NewMisses returns budgets that are full.
func NewMisses() *Misses {
	budgets, _ := simplelru.NewLRU[uint64, *budget](maxBudgets, nil) // fails for sizes below 1 only
	answers, _ := simplelru.NewLRU[uint64, time.Time](maxAnswers, nil)
	return &Misses{seed: maphash.MakeSeed(), budgets: budgets, answers: answers, asked: map[uint64]int{}}
}

// Hold keeps clients to their budgets, which fill at rate, in questions per second; 0 is no bound. refuse answers who has
// used it up, with the time after which there is some again.
func (m *Misses) Hold(next http.Handler, rate func() float64,
	refuse func(http.ResponseWriter, *http.Request, time.Duration)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		perSecond, cost := rate(), cost(r.URL.Path)
		if perSecond <= 0 || cost == 0 {
			next.ServeHTTP(w, r)
			return
		}
		q := m.question(r)
		from, taken, wait := m.begin(q, cost, perSecond, time.Now())
		if wait > 0 {
			refuse(w, r, wait)
			return
		}
		answer := &status{ResponseWriter: w}
		defer func() { m.end(q, from, taken, answer.code, perSecond, time.Now()) }()
		next.ServeHTTP(answer, r)
		answer.begun() // net/http sends 200 for who wrote nothing
	})
}

// cost is what a question at a path costs while it is under way; 0 for one that no upstream is asked.
func cost(path string) float64 {
	if strings.HasPrefix(path, chunksPath) {
		if strings.HasSuffix(path, indexSuffix) {
			return 1
		}
		return blobShare
	}
	for _, part := range []string{"/manifests/", "/tags/", "/referrers/"} {
		if strings.Contains(path, part) {
			return 1
		}
	}
	if strings.Contains(path, "/blobs/") || path == deltaPath {
		return blobShare
	}
	return 0
}

// question stands for what is asked. But for the address, it stands for who asks, too: that somebody else was given
// something must not show.
type question struct{ itself, repository, address uint64 }

func (m *Misses) question(r *http.Request) question {
	var h maphash.Hash
	h.SetSeed(m.seed)
	add := func(s string) uint64 {
		_, _ = h.WriteString(s) // it never fails
		_ = h.WriteByte(0)
		return h.Sum64()
	}
	q := question{address: add(Address(r.RemoteAddr).String())}
	add(r.Header.Get("Authorization"))
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		_, _ = h.Write(r.TLS.PeerCertificates[0].Raw)
	}
	add(r.URL.Query().Get("ns"))
	q.repository = add(repository(r))
	add(r.URL.Path)
	q.itself = add(r.URL.RawQuery)
	return q
}

// repository is what a path says before the kind of thing that is asked for; a delta is of the repository of its layer.
func repository(r *http.Request) string {
	path := r.URL.Path
	if path == deltaPath {
		return "/v2/" + r.URL.Query().Get("repository")
	}
	if name, ok := strings.CutPrefix(path, chunksPath); ok {
		levels := 3 // of a chunk: the store, four digits, the chunk
		if strings.HasSuffix(name, indexSuffix) {
			levels = 1
		}
		for range levels {
			name = name[:max(strings.LastIndexByte(name, '/'), 0)]
		}
		return "/v2/" + name
	}
	for _, part := range []string{"/manifests/", "/blobs/", "/tags/", "/referrers/"} {
		if i := strings.LastIndex(path, part); i >= 0 {
			return path[:i]
		}
	}
	return path
}

// begin takes what a question may cost from a budget, or says how long to wait until there is enough.
func (m *Misses) begin(q question, cost, rate float64, now time.Time) (from uint64, taken float64, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	until, answered := m.answers.Get(q.itself)
	free := m.asked[q.itself] > 0 || answered && (until.IsZero() || now.Before(until))
	from = q.address
	if m.answers.Contains(q.repository) {
		from = q.repository
	}
	if !free {
		b := m.budget(from, rate, now)
		if b.left < cost {
			return 0, 0, time.Duration(math.Ceil((cost-b.left)/rate)) * time.Second
		}
		b.left -= cost
		taken = cost
	}
	m.asked[q.itself]++
	return from, taken, 0
}

// end gives back what was taken, unless the answer was that there is nothing.
func (m *Misses) end(q question, from uint64, taken float64, code int, rate float64, now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asked[q.itself]--; m.asked[q.itself] <= 0 {
		delete(m.asked, q.itself)
	}
	missed := missing(code)
	switch {
	case missed:
		m.answers.Add(q.itself, now.Add(missLasts))
	case code > 0 && code < http.StatusBadRequest:
		m.answers.Add(q.itself, time.Time{})
		m.answers.Add(q.repository, time.Time{})
	}
	if taken == 0 {
		return
	}
	b := m.budget(from, rate, now)
	if b.left += taken; missed {
		b.left--
	}
}

// missing reports whether a status says that there is no such thing, or that an upstream could not give it.
func missing(code int) bool {
	return code == http.StatusNotFound || code == http.StatusForbidden || code >= http.StatusInternalServerError
}

// budget returns what is left of one.
func (m *Misses) budget(of uint64, rate float64, now time.Time) *budget {
	most := max(1, rate*time.Minute.Seconds())
	b, ok := m.budgets.Get(of)
	if !ok {
		b = &budget{left: most, at: now}
		m.budgets.Add(of, b)
	}
	b.left = min(most, b.left+rate*now.Sub(b.at).Seconds())
	b.at = now
	return b
}

// status is a ResponseWriter that remembers the status: that of the layer, where a delta is refused; of what is not signed,
// one that is no miss. It keeps the way to the
// io.ReaderFrom below open.
type status struct {
	http.ResponseWriter
	code int
}

// WriteHeader remembers the status, unless it is an informational one.
func (s *status) WriteHeader(code int) {
	if s.code == 0 && code >= http.StatusOK {
		s.code = code
		switch h := s.Header(); {
		case h.Get(deltaRefused) != "":
			s.code = http.StatusOK
		case h.Get(deniedBy) == byPolicy:
			s.code = http.StatusBadRequest
		}
	}
	s.ResponseWriter.WriteHeader(code)
}

// Write writes to the body.
func (s *status) Write(p []byte) (int, error) {
	s.begun()
	return s.ResponseWriter.Write(p)
}

// ReadFrom copies src into the body.
func (s *status) ReadFrom(src io.Reader) (int64, error) {
	s.begun()
	if below, ok := s.ResponseWriter.(io.ReaderFrom); ok {
		return below.ReadFrom(src)
	}
	return io.Copy(struct{ io.Writer }{s.ResponseWriter}, src)
}

// Unwrap gives http.ResponseController the writer below.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func (s *status) begun() {
	if s.code == 0 {
		s.code = http.StatusOK
	}
}
