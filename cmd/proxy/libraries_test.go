package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/logs"
	"github.com/sirupsen/logrus"
	"go.opentelemetry.io/otel"
	"k8s.io/klog/v2"
)

// What libraries log are lines of the program's log, at debug, whatever they think of them. It sets what belongs to the
// process, and so runs in one of its own.
func TestLibrariesLog(t *testing.T) {
	t.Parallel()
	const within = "STRATA_TEST_LIBRARIES"
	if os.Getenv(within) != "" {
		logAsLibraries()
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLibrariesLog$")
	cmd.Env = append(os.Environ(), within+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var libraries []string
	for line := range strings.Lines(stderr.String()) {
		var l struct{ Level, Msg, Library, Error, Secret string }
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Errorf("a line is none of the log's: %q", line)
			continue
		}
		if l.Level != "DEBUG" || l.Msg == "" || l.Secret != "" || strings.HasSuffix(l.Msg, "\n") {
			t.Errorf("line %s", line)
		}
		libraries = append(libraries, l.Library)
	}
	slices.Sort(libraries)
	want := []string{"distribution", "distribution", "go-containerregistry", "go-containerregistry", "klog", "klog", "log",
		"opentelemetry", "redis"}
	if !slices.Equal(libraries, want) {
		t.Errorf("lines of %q, want %q", libraries, want)
	}
}

// logAsLibraries logs as each of them does.
func logAsLibraries() {
	adoptLibraries(slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	failed := errors.New("it failed")
	logrus.WithField("secret", "s3cr3t").WithError(failed).Error("distribution fails")
	logrus.Warn("distribution warns")
	logrus.Debug("distribution tells what is in a request")
	klog.ErrorS(failed, "klog fails")
	klog.Warning("klog warns")
	logs.Warn.Print("a registry is odd")
	logs.Progress.Print("a layer was pushed")
	otel.Handle(failed)
	redisLog{slog.New(quiet{slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})}).With("library",
		"redis")}.
		Printf(context.Background(), "redis: %s", "no connection")
	log.Print("somebody prints")
}
