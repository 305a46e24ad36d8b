package upstream

import "time"

// HostStatus is how an upstream fares.
type HostStatus struct {
	Host string
	// State of the breaker: "closed" when the registry is asked, "open" when it is left alone, "half-open" when the next
	// request tries whether it is back. Where nobody asks for some minutes, it is "closed" again.
	State string
	// Failing is how many requests in a row had no usable answer, while the state is "closed".
	Failing int
	// PausedUntil is when the registry, after 429, may be asked again; zero when it may be now.
	PausedUntil time.Time
	Budget      Budget
	// Running are requests that were sent or wait to be, Held those that were not sent since the start: see ErrHeld.
	Running, Held int64
}

// Budget is what an upstream says it still grants, in its RateLimit-Limit and RateLimit-Remaining headers.
type Budget struct {
	// Limit is the number of requests in a window, Remaining how many are left. Known says that the upstream tells them.
	Limit, Remaining int64
	Known            bool
	// Low says that what remains is kept for content that is not stored.
	Low bool
}
