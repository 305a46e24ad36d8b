package main

import "path/filepath"

// filePath is the value of a flag that names a file or directory. It is absolute, or empty when the flag was not given or is empty.
type filePath string

// UnmarshalText takes a path that may be relative to the working directory.
func (p *filePath) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*p = ""
		return nil
	}
	abs, err := filepath.Abs(string(text))
	*p = filePath(abs)
	return err
}
