package noise

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// member is one of a cpio archive.
type member struct {
	name                       string
	ino, mode, uid, gid, links uint32
	mtime, major, minor        uint32
	rmajor, rminor, check      uint32
	data                       string
}

func (m member) bytes(magic string) []byte {
	out := fmt.Appendf(nil, "%s", magic)
	for _, n := range []uint32{
		m.ino, m.mode, m.uid, m.gid, m.links, m.mtime, uint32(len(m.data)), m.major, m.minor, m.rmajor, m.rminor,
		uint32(len(m.name) + 1), m.check,
	} {
		out = fmt.Appendf(out, "%08x", n)
	}
	out = append(append(out, m.name...), 0)
	out = append(out, make([]byte, padding(int64(len(out))))...)
	out = append(out, m.data...)
	return append(out, make([]byte, padding(int64(len(out))))...)
}

// archive is a newc archive of members.
func archive(members ...member) []byte {
	var out []byte
	for _, m := range append(slices.Clone(members), member{name: trailer, links: 1}) {
		out = append(out, m.bytes("070701")...)
	}
	return out
}

// system are the members of a small initramfs: its early part and the rest.
func system() (early, rest []member) {
	const dir, file, link, device = 0o040755, 0o100644, 0o120777, 0o020600
	early = []member{
		{name: "kernel", ino: 1, mode: dir, links: 2, mtime: 1000},
		{name: "kernel/x86.bin", ino: 2, mode: file, links: 1, mtime: 1000, data: "microcode"},
	}
	rest = []member{
		{name: ".", ino: 10, mode: dir, links: 3, mtime: 1000},
		{name: "init", ino: 11, mode: link, links: 1, mtime: 1001, data: "usr/lib/systemd/systemd"},
		{name: "dev/null", ino: 12, mode: device, links: 1, mtime: 1002, rmajor: 1, rminor: 3},
		{name: "usr/bin/a", ino: 13, mode: file, links: 2, mtime: 1003, uid: 7, gid: 8, major: 254, minor: 1},
		{name: "usr/bin/b", ino: 13, mode: file, links: 2, mtime: 1003, uid: 7, gid: 8, major: 254, minor: 1,
			data: "program"},
		{name: "usr/bin/c", ino: 14, mode: file, links: 2, mtime: 1003, major: 254, minor: 1},
		{name: "usr/bin/d", ino: 14, mode: file, links: 2, mtime: 1003, major: 254, minor: 1, data: "another"},
	}
	return early, rest
}

// initrd is a chain: the early part as it is, zeros, and the rest in gzip.
func initrd(t testing.TB, early, rest []member) []byte {
	return slices.Concat(archive(early...), make([]byte, 100), gz(t, archive(rest...), 6, gzip.Header{}))
}

// aged returns members at another time, with other inode numbers.
func aged(members []member, by uint32) []member {
	out := slices.Clone(members)
	for i := range out {
		out[i].mtime += by
		out[i].ino += by
	}
	return out
}

// edited returns members of which one is changed.
func edited(members []member, i int, edit func(*member)) []member {
	out := slices.Clone(members)
	edit(&out[i])
	return out
}

func gz(t testing.TB, plain []byte, level int, head gzip.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, level)
	if err != nil {
		t.Fatal(err)
	}
	if head.ModTime.IsZero() {
		head.ModTime = time.Unix(0, 0)
	}
	w.Header = head
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zst(t testing.TB, plain []byte, opts ...zstd.EOption) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(plain, nil)
}

// xzStored is an xz stream of chunks that are not compressed, so many bytes each.
func xzStored(plain []byte, chunk int) []byte {
	sum := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)) }
	flags := []byte{0, 1} // CRC32
	out := slices.Concat([]byte("\xfd7zXZ\x00"), flags, sum(flags))
	head := []byte{2, 0, 0x21, 1, 0x10, 0, 0, 0}
	block := slices.Concat(head, sum(head))
	for rest, control := plain, byte(1); len(rest) > 0; control = 2 {
		n := min(chunk, len(rest))
		block = append(block, control, byte((n-1)>>8), byte(n-1))
		block = append(block, rest[:n]...)
		rest = rest[n:]
	}
	block = append(block, 0)
	unpadded := len(block) + 4
	block = append(block, make([]byte, padding(int64(len(block))))...)
	block = append(block, sum(plain)...)
	index := binary.AppendUvarint(binary.AppendUvarint([]byte{0, 1}, uint64(unpadded)), uint64(len(plain)))
	index = append(index, make([]byte, padding(int64(len(index))))...)
	index = append(index, sum(index)...)
	tail := append(binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1)), flags...)
	return slices.Concat(out, block, index, sum(tail), tail, []byte("YZ"))
}
