package selinux

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Open gives a file of an image by its path; one that does not exist is a nil reader.
type Open func(path string) (io.ReadCloser, error)

// Read reads the labels of regular files by an image's policy: the one that etc/selinux/config names, in etc or usr/etc. An
// image without one has no labels: nil. An error wraps ErrPolicy, or is one of opening or reading a file.
func Read(open Open) (*Labels, error) { return ReadFor(Regular, open) }

// ReadFor is Read for a type of file.
func ReadFor(typ Type, open Open) (*Labels, error) {
	for _, etc := range []string{"etc", "usr/etc"} {
		l := &Labels{typ: typ, literals: map[string]int32{}, stems: map[string][]int32{}}
		name, err := l.policyName(open, etc+"/selinux/config")
		if err != nil {
			return nil, err
		}
		if name == "" {
			continue
		}
		if err := l.readPolicy(open, etc+"/selinux/"+name+"/contexts/files/file_contexts"); err != nil {
			return nil, err
		}
		if len(l.rules) > 0 {
			return l, nil
		}
	}
	return nil, nil
}

// policyName returns the value of SELINUXTYPE, or "".
func (l *Labels) policyName(open Open, name string) (out string, err error) {
	err = l.lines(open, name, func(line string) error {
		if v, ok := strings.CutPrefix(line, "SELINUXTYPE="); ok {
			out = strings.TrimSpace(v)
		}
		return nil
	})
	if strings.ContainsAny(out, "/\x00") || out == ".." {
		return "", fmt.Errorf("%w: %s: the type %.40q is no name", ErrPolicy, name, out)
	}
	return out, err
}

// readPolicy reads file_contexts and what belongs to it. In the order of libselinux, later rules win.
func (l *Labels) readPolicy(open Open, base string) error {
	for _, suffix := range []string{"", ".homedirs", ".local"} {
		if err := l.lines(open, base+suffix, l.addRule); err != nil {
			return err
		}
	}
	for i, suffix := range []string{".subs", ".subs_dist"} {
		if err := l.lines(open, base+suffix, func(line string) error { return l.addAlias(i, line) }); err != nil {
			return err
		}
	}
	return nil
}

// lines calls do for every line of a file that holds something.
func (l *Labels) lines(open Open, name string, do func(line string) error) error {
	r, err := open(name)
	if r == nil || err != nil {
		return err
	}
	defer r.Close()
	in := &io.LimitedReader{R: r, N: int64(MaxBytes-l.bytes) + 1}
	s := bufio.NewScanner(in)
	for s.Scan() && in.N > 0 {
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			if err := do(line); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	if l.bytes = MaxBytes + 1 - int(in.N); l.bytes > MaxBytes {
		return fmt.Errorf("%w: %s: its files have more than %d bytes", ErrPolicy, name, MaxBytes)
	}
	if err := s.Err(); errors.Is(err, bufio.ErrTooLong) {
		return fmt.Errorf("%w: %s: %w", ErrPolicy, name, err)
	} else if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}
