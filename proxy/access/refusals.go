package access

import (
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/strata-oci/strata/proxy/limits"
)

const (
	// tellAgain is how long further refusals from one address are counted until they are told of.
	tellAgain = time.Minute
	// maxTold bounds the addresses that are told of by themselves.
	maxTold = 100
)

// others stands for the addresses beyond maxTold.
const others = "others"

// Refusals tells of logins that were refused: the first from an address at once, how many more there were a minute later.
// So a flood is a line a minute, and one from everywhere some hundred. It is safe for concurrent use.
type Refusals struct {
	log   *slog.Logger
	count func(way string)

	mu   sync.Mutex
	told map[string]*refused // by address, for a minute after each line
}

// refused are the refusals that are not told of yet.
type refused struct {
	n    int
	ways []string
}

// NewRefusals returns a Refusals that logs to log, and calls count for each one.
func NewRefusals(log *slog.Logger, count func(way string)) *Refusals {
	return &Refusals{log: log, count: count, told: map[string]*refused{}}
}

// Note tells that a request was refused that tried to log in, and by what: a token, a password.
func (f *Refusals) Note(r *http.Request, way string) {
	f.count(way)
	address := "socket"
	if a := limits.Address(r.RemoteAddr); a.IsValid() {
		address = a.String()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told[address] == nil && len(f.told) >= maxTold {
		address = others
	}
	if more := f.told[address]; more != nil {
		if more.n++; !slices.Contains(more.ways, way) {
			more.ways = append(more.ways, way)
		}
		return
	}
	f.told[address] = &refused{}
	f.log.Warn("operators' login was refused; more from this address are told of in a minute", "address", address,
		"way", way)
	time.AfterFunc(tellAgain, func() { f.tell(address) })
}

// tell tells of what was refused since the last line, and forgets an address that there is nothing more of.
func (f *Refusals) tell(address string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	more := f.told[address]
	if more.n == 0 {
		delete(f.told, address)
		return
	}
	f.told[address] = &refused{}
	f.log.Warn("operators' logins were refused", "address", address, "ways", more.ways, "times", more.n, "within",
		tellAgain)
	time.AfterFunc(tellAgain, func() { f.tell(address) })
}
