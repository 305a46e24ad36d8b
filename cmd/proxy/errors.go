package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
	// exitInterrupted is what shells call a program that SIGINT ended. It differs from exitFailed so that an interrupted
	// check is not taken for a finding.
	exitInterrupted = 130
)

// errFailed ends a command with exitFailed and without a message: its output has said it all.
var errFailed = errors.New("failed")

// usageError marks wrong use.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// linesError is an error whose text keeps its lines.
type linesError struct{ error }

func (e linesError) Unwrap() error { return e.error }

// parseError says which command's help would have helped.
func parseError(err error) error {
	command := "strata"
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Command() != "" {
		name, _, _ := strings.Cut(parse.Context.Command(), " ")
		command += " " + name
	}
	return usageError{fmt.Errorf("%w: see %s --help", err, command)}
}

// fail prints an error in one line and returns the exit code.
func fail(ctx context.Context, s *streams, err error) int {
	var usage usageError
	var lines linesError
	switch {
	case err == nil:
		return exitDone
	case ctx.Err() != nil:
		fmt.Fprintln(s.err, "strata: interrupted")
		return exitInterrupted
	case errors.Is(err, errFailed):
		return exitFailed
	}
	text := strings.TrimSpace(err.Error())
	if !errors.As(err, &lines) {
		text = strings.ReplaceAll(text, "\n", "; ")
	}
	fmt.Fprintln(s.err, "strata:", text)
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}
