// Package header reads the header fields of a registry's answers: authentication challenges, links, ranges, budgets,
// times to wait and media types. What it reads comes from strangers: every function is total and bounds what it returns.
// It does no I/O.
package header
