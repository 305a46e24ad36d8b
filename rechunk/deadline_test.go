package rechunk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/strata-oci/strata/rechunk/layer"
)

func TestDeadlineGrows(t *testing.T) {
	t.Parallel()
	d := Deadline{Base: time.Minute, BytesPerSecond: 1000}
	for bytes, want := range map[int64]time.Duration{0: time.Minute, 999: time.Minute, 60_000: 2 * time.Minute,
		1 << 62: time.Minute + 7*24*time.Hour} {
		if got := d.For(bytes); got != want {
			t.Errorf("%d bytes: %s, want %s", bytes, got, want)
		}
	}
	if (Deadline{}).For(1<<40) != 0 || DefaultDeadline().For(4<<30) < time.Hour {
		t.Error("no bound is a bound, or the default is short")
	}
}

// slowSource gives no layer before its context ends.
type slowSource struct{ config []byte }

func (s slowSource) Blob(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	if d.Digest == digest.FromBytes(s.config) {
		return io.NopCloser(bytes.NewReader(s.config)), nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

// noRecords holds nothing.
type noRecords struct{ Store }

func (noRecords) GetRecord(context.Context, string, string) ([]byte, error) { return nil, ErrNotFound }
func (noRecords) PutRecord(context.Context, string, string, []byte) error   { return nil }

// An image that takes longer than its bytes allow ends with an error that names the time, and lets go of its lineage.
func TestDeadline(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		config := []byte(`{"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":["` +
			digest.FromString("x").String() + `"]}}`)
		manifest, err := json.Marshal(ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config),
				Size: int64(len(config))},
			Layers: []ocispec.Descriptor{{MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString("layer"),
				Size: 60_000}},
		})
		if err != nil {
			t.Fatal(err)
		}
		e := New(Config{Records: noRecords{}, WorkDir: dir, Deadline: Deadline{Base: time.Minute, BytesPerSecond: 1000}})
		req := Request{
			Lineage: "test", Digest: digest.FromBytes(manifest), Manifest: manifest, Source: slowSource{config},
			Options: Options{Always: true, Format: layer.Zstd, MaxLayers: 10},
		}
		for range 2 { // the second one gets the lineage
			began := time.Now()
			if _, err := e.Rechunk(t.Context(), req); !errors.Is(err, ErrDeadline) || time.Since(began) != 2*time.Minute {
				t.Errorf("after %s: %v", time.Since(began), err)
			}
		}
	})
}
