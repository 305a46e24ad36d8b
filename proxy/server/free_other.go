//go:build !linux

package server

import "errors"

func diskSpace(string) (free, all int64, err error) { return 0, 0, errors.ErrUnsupported }
