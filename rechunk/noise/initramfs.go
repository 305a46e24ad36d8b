package noise

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"strconv"
)

// initramfs makes the form of a chain of archives as the kernel unpacks it (init/initramfs.c): cpio archives, bare or in
// streams, with zeros between them. How many zeros is noise: a compressed part of another length moves what follows.
func (j *Judge) initramfs(ctx context.Context, c Content) (*form, error) {
	streams, err := j.streams(ctx, c)
	if err != nil {
		return nil, err
	}
	a := &archives{lim: j.lim, ended: ctx.Err, sum: sha256.New(), links: map[[3]uint32]uint64{}}
	off := int64(0)
	for _, s := range streams {
		if err := a.read("", io.NewSectionReader(c, off, s.Offset-off)); err != nil {
			return nil, err
		}
		err := j.decode(ctx, c, s, func(r io.Reader) error { return a.read(s.Decoder, r) })
		if err != nil {
			return nil, err
		}
		off = s.Offset + s.Length
	}
	if err := a.read("", io.NewSectionReader(c, off, c.Size()-off)); err != nil {
		return nil, err
	}
	if a.members == 0 {
		return nil, unjudged("no archive in it")
	}
	f := &form{noise: []noise{{"times", "members", a.times}, {"inode numbers", "members", a.inodes}}}
	a.sum.Sum(f.sum[:0])
	return f, nil
}

// cpioHeader is the length of a header in newc and crc archives: a magic and 13 fields of eight hexadecimal digits.
const cpioHeader = 110

// The fields of a header by their number.
const (
	cpioInode = iota
	cpioMode
	cpioUID
	cpioGID
	cpioLinks
	cpioTime
	cpioSize
	cpioMajor
	cpioMinor
	cpioDeviceMajor
	cpioDeviceMinor
	cpioNameSize
	cpioCheck
	cpioFields
)

// trailer is the name of the member that ends an archive.
const trailer = "TRAILER!!!"

// archives takes the members of archives, one after another.
type archives struct {
	lim     Limits
	ended   func() error // the error of the context that it is read under
	sum     hash.Hash
	members int
	// times and inodes hold what was left out of each member.
	times, inodes []uint64
	// links numbers the inodes of files with several names, by device and inode: which names are one file is no noise.
	links map[[3]uint32]uint64
	name  []byte
}

// read takes a run of archives to its end.
func (a *archives) read(decoder string, r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	first := true
	for {
		if err := skipZeros(in); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if first {
			a.sum.Write(append([]byte{'R', byte(len(decoder))}, decoder...))
			first = false
		}
		a.sum.Write([]byte{'A'})
		for more := true; more; {
			var err error
			if more, err = a.member(in); err != nil {
				return err
			}
		}
	}
}

// skipZeros reads up to the next byte that is none.
func skipZeros(in *bufio.Reader) error {
	for {
		b, err := in.ReadByte()
		if err != nil {
			return err
		}
		if b != 0 {
			return in.UnreadByte()
		}
	}
}

// member takes a member; more is false behind an archive's last. All of it is in the sum as it is, padding included, but for
// its time and its inode number, in whose place the number of the file stands if that may have other names.
func (a *archives) member(in *bufio.Reader) (more bool, err error) {
	if a.members++; a.members > a.lim.Members {
		return false, unjudged("more than %d members", a.lim.Members)
	}
	if err := a.ended(); err != nil {
		return false, err
	}
	head := make([]byte, cpioHeader)
	if err := full(in, head); err != nil {
		return false, err
	}
	f, err := cpioNumbers(head)
	if err != nil {
		return false, err
	}
	if f[cpioNameSize] < 2 || int64(f[cpioNameSize]) > int64(a.lim.Name) {
		return false, unjudged("a member with a name of %d bytes", f[cpioNameSize])
	}
	a.times = append(a.times, uint64(f[cpioTime]))
	a.inodes = append(a.inodes, uint64(f[cpioInode]))
	binary.BigEndian.PutUint64(field(head, cpioInode), a.object(f))
	clear(field(head, cpioTime))
	a.sum.Write(head)
	size := int(f[cpioNameSize])
	a.name = append(a.name[:0], make([]byte, size+padding(int64(cpioHeader+size)))...)
	if err := full(in, a.name); err != nil {
		return false, err
	}
	a.sum.Write(a.name)
	if string(a.name[:size]) == trailer+"\x00" {
		if f[cpioSize] != 0 {
			return false, unjudged("an archive's trailer with a content")
		}
		return false, nil
	}
	return true, a.content(in, int64(f[cpioSize]))
}

// content takes a member's content, with its padding.
func (a *archives) content(in io.Reader, size int64) error {
	size += int64(padding(size))
	n, err := io.CopyN(a.sum, in, size)
	if errors.Is(err, io.EOF) {
		return unjudged("a member of %d bytes, of which there are %d", size, n)
	}
	return err
}

// object returns the number of a file that may have several names, and 0 for others. Unpackers take names for one file by
// device and inode, if it says that it has several; directories have none.
func (a *archives) object(f [cpioFields]uint32) uint64 {
	const kind, dir = 0o170000, 0o040000
	if f[cpioLinks] < 2 || f[cpioMode]&kind == dir {
		return 0
	}
	key := [3]uint32{f[cpioMajor], f[cpioMinor], f[cpioInode]}
	n, known := a.links[key]
	if !known {
		n = uint64(len(a.links) + 1)
		a.links[key] = n
	}
	return n
}

// cpioNumbers reads the fields of a header.
func cpioNumbers(head []byte) (f [cpioFields]uint32, err error) {
	if magic := string(head[:6]); magic != "070701" && magic != "070702" {
		return f, unjudged("something that is no archive: %.6q", magic)
	}
	for i := range f {
		v, err := strconv.ParseUint(string(field(head, i)), 16, 32)
		if err != nil {
			return f, unjudged("a member with the number %.8q", field(head, i))
		}
		f[i] = uint32(v)
	}
	return f, nil
}

// field is where a header has one of its fields.
func field(head []byte, i int) []byte { return head[6+8*i : 14+8*i] }

// padding is what is missing to a multiple of four.
func padding(n int64) int { return int(-n & 3) }

// full reads as many bytes as b has.
func full(in io.Reader, b []byte) error {
	_, err := io.ReadFull(in, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return unjudged("an archive that breaks off")
	}
	return err
}
