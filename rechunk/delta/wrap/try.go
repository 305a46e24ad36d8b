package wrap

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/strata-oci/strata/rechunk/rescue"
	"github.com/strata-oci/strata/rechunk/tree"
)

// Trier looks for the encoders of parts. What fitted one part is what its siblings are tried with first, so that all modules
// of a kernel cost one run each; siblings of many that nothing fitted are not tried any more. Safe for concurrent use.
type Trier struct {
	encoders Encoders
	trials   Trials
	lim      Limits
	decoders *sync.Pool
	lore     *lore
	item     int
}

// NewTrier returns a Trier for one run. Without encoders, only those of this package are tried; without trials, nothing is
// remembered beyond the run.
func NewTrier(encoders Encoders, trials Trials, lim Limits) *Trier {
	return &Trier{encoders: encoders, trials: trials, lim: lim, lore: newLore(),
		decoders: &sync.Pool{New: func() any { return new(decoders) }}}
}

// For returns the trier for the parts of one of many items, numbered from 0, that may be worked on at the same time. It goes
// by what was found for that item and for those that come at least Apart before it, so that what it finds does not depend on
// how fast the others are: an item is only begun when all of those are done.
func (t *Trier) For(item int) *Trier {
	c := *t
	c.item = item
	return &c
}

// Try finds the encoder of a part of parent that has a decoder, and sets Encoder and Seconds; it leaves Encoder nil if there
// is none. A part's bytes are encoded from its decoded ones and compared to the last; what is remembered from before is
// believed. ErrInvalid if the part can't be decoded, ErrLimit if it is too large: it is no part then. Else errors are those
// of ctx, of reading parent, and of the trials.
func (t *Trier) Try(ctx context.Context, parent Content, p *Part) error {
	p.Encoder, p.Seconds = nil, 0
	var have []Program
	if t.encoders != nil {
		have = t.encoders.Available()
	}
	trials, name := t.trials, tree.Digest{}
	if isTokens(p.Decoder) {
		trials = nil // there is nothing to find
	}
	if trials != nil {
		h := sha256.New()
		if _, err := io.Copy(h, &counter{ended: ctx.Err, r: io.NewSectionReader(parent, p.Offset, p.Length)}); err != nil {
			return fmt.Errorf("reading what is wrapped: %w", err)
		}
		name = tree.Digest(h.Sum(nil))
		trial, ok, err := trials.Tried(ctx, name)
		if err != nil {
			return fmt.Errorf("what was tried before: %w", err)
		}
		trial, ok = t.lore.known(t.item, name, trial, ok)
		if ok && trial.Encoder != nil && Compatible(*trial.Encoder, have) {
			p.Encoder, p.Seconds = trial.Encoder, trial.Encoder.Seconds(p.Size)
			return nil
		}
		if ok && trial.Encoder == nil && slices.Equal(trial.Programs, have) {
			return nil
		}
	}
	found, tried, err := t.look(ctx, parent, *p, have)
	if err != nil {
		return err
	}
	if found != nil {
		p.Encoder, p.Seconds = found, found.Seconds(p.Size)
	}
	if trials != nil && tried {
		trial := Trial{Encoder: found, Programs: have}
		t.lore.remember(t.item, name, trial)
		if err := trials.Remember(ctx, name, trial); err != nil {
			return fmt.Errorf("remembering what was tried: %w", err)
		}
	}
	return nil
}

// look tries the encoders that may have made the part, the most likely first. It says whether it did try.
func (t *Trier) look(ctx context.Context, parent Content, p Part, have []Program) (*Encoder, bool, error) {
	name, guesses := guess(parent, p)
	guesses = slices.DeleteFunc(guesses, func(e Encoder) bool {
		return e.Program != ProgramStrata && !slices.ContainsFunc(have, e.by)
	})
	kind := t.lore.likely(t.item, name)
	if kind.failed >= hopeless {
		return nil, false, nil
	}
	tried := map[string]bool{}
	for _, e := range append(kind.fits, guesses...) {
		for _, program := range have {
			if program.Name == e.Program {
				e.Version = program.Version
			}
		}
		e.Args = fill(e.Args, p.Size)
		if tried[e.String()] {
			continue
		}
		tried[e.String()] = true
		same, err := t.same(ctx, parent, p, e)
		if err != nil {
			return nil, false, err
		}
		if same {
			t.lore.fitted(t.item, name, e)
			return &e, true, nil
		}
	}
	t.lore.fitted(t.item, name, Encoder{})
	return nil, true, nil
}

// by says whether e is run by a program.
func (e Encoder) by(p Program) bool { return p.Name == e.Program }

// errDiffers says that an encoder makes other bytes.
var errDiffers = errors.New("other bytes")

// same says whether e makes the part's bytes. It ends at the first that differs.
func (t *Trier) same(ctx context.Context, parent Content, p Part, e Encoder) (bool, error) {
	plain, decoded := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		d, _ := t.decoders.Get().(*decoders)
		err := rescue.Call(func() error {
			err := d.decode(ctx, p.Decoder, io.NewSectionReader(parent, p.Offset, p.Length), decoded, t.lim)
			t.decoders.Put(d)
			return err
		})
		_ = decoded.CloseWithError(err)
		ended <- err
	}()
	defer plain.Close() //nolint:errcheck // ends the decoder if encoding panics
	want := &expected{r: io.NewSectionReader(parent, p.Offset, p.Length)}
	err := Encode(ctx, t.encoders, e, plain, want)
	_ = plain.CloseWithError(errDiffers)
	switch wrong := <-ended; {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case want.err != nil && !errors.Is(want.err, errDiffers):
		return false, fmt.Errorf("reading what is wrapped: %w", want.err)
	case wrong != nil && !errors.Is(wrong, errDiffers):
		return false, wrong
	}
	return err == nil && want.n == p.Length, nil
}

// expected compares what is written with what r reads.
type expected struct {
	r   io.Reader
	n   int64
	buf []byte
	err error
}

// Write implements io.Writer.
func (w *expected) Write(p []byte) (int, error) {
	if cap(w.buf) < len(p) {
		w.buf = make([]byte, len(p))
	}
	n, err := io.ReadFull(w.r, w.buf[:len(p)])
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), err == nil && string(w.buf[:n]) != string(p):
		w.err = errDiffers
	case err != nil:
		w.err = err
	}
	if w.err != nil {
		return 0, w.err
	}
	w.n += int64(n)
	return n, nil
}
