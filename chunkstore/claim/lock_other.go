//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package claim

import "os"

func lockAlone(*os.File) (bool, error) { return false, ErrUnsupported }

func lockShared(*os.File) error { return ErrUnsupported }

func lockBeside(*os.File) error { return ErrUnsupported }

const noFollow = 0
