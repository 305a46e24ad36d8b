package admin

import "github.com/strata-oci/strata/proxy/operate"

// RepositoryList is the answer to GET /api/v1/repositories.
type RepositoryList struct {
	Repositories []operate.RepositoryReport `json:"repositories"`
}

// JobList is the answer to GET /api/v1/jobs.
type JobList struct {
	Jobs []operate.JobReport `json:"jobs"`
}

// WarmRequest is the body of POST /api/v1/warm: 1 to 100 references, "host/path:tag" or "host/path@digest".
type WarmRequest struct {
	References []string `json:"references"`
}

// WarmAccepted is the answer to POST /api/v1/warm that does not wait. Its jobs show in GET /api/v1/jobs.
type WarmAccepted struct {
	Jobs []WarmJob `json:"jobs"`
}

// WarmJob is the job that warms a reference.
type WarmJob struct {
	ID        string `json:"id"`
	Reference string `json:"reference"`
}

// ReadyReport is the answer to GET /readyz.
type ReadyReport struct {
	Status string        `json:"status"` // "ready" or "not ready"
	Error  string        `json:"error,omitempty"`
	Checks []CheckReport `json:"checks"`
}

// CheckReport tells how a check went.
type CheckReport struct {
	Name    string  `json:"name"`
	OK      bool    `json:"ok"`
	Seconds float64 `json:"seconds"`
	Error   string  `json:"error,omitempty"`
}
