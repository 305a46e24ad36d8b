//go:build !unix

package private

import "io/fs"

// owner knows nothing where files have no such users.
func owner(fs.FileInfo) (uid int, known bool) { return 0, false }
