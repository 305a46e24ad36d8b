package server

import "golang.org/x/sys/unix"

// diskSpace returns how many bytes of a directory's filesystem this user may still take, and how many there are.
func diskSpace(dir string) (free, all int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}
