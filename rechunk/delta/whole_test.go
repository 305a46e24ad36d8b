package delta

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// A file that has little in common with the seed's costs no more than it does alone.
func TestFilesThatAreTooDifferent(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 11))
	before, now := make([]byte, 300_000), make([]byte, 300_000)
	for i := range before {
		before[i], now[i] = byte(r.IntN(4)), byte(r.IntN(4))
		if i%3 == 0 { // half of what is left differs, and every difference costs more than the byte
			before[i] = now[i]
		}
	}
	old := files{"usr/bin/a": before}
	target, want := files{"usr/bin/a": now}.target(t)
	delta, _ := made(t, target, old, Options{Scratch: &temp{}})
	got, err := applied(t.Context(), delta, old, ApplyOptions{Scratch: &temp{}})
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%d bytes: %v", len(got), err)
	}
	target, _ = files{"usr/bin/a": now}.target(t)
	if alone, _ := made(t, target, files{"usr/bin/b": nil},
		Options{Scratch: &temp{}}); len(delta) > len(alone)+len(alone)/20 {
		t.Errorf("%d bytes with the seed's file, %d without", len(delta), len(alone))
	}
}
