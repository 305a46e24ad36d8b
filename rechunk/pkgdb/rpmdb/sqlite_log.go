package rpmdb

import (
	"context"
	"encoding/binary"
)

// Sqlite's write-ahead log: a header, then frames of a header and a page. Frames count up to the last one that ends a
// transaction, as far as their salts and checksums, each of which covers all before, are right.
const (
	// logSuffix is what sqlite appends to a database's name for its log.
	logSuffix = "-wal"

	logMagic   = 0x377f0682 // the last bit says that checksums are of big-endian words
	logVersion = 3007000
	logHeader  = 32
	logFrame   = 24
)

// sqliteLog finds pages in a log.
type sqliteLog struct {
	db    *database
	page  int64
	pages uint32            // how many pages the database has after the last transaction
	frame map[uint32]uint32 // page to the last frame with it
}

// openSQLiteLog reads a log; nil if no transaction is in it.
func openSQLiteLog(ctx context.Context, db *database, page int64) (*sqliteLog, error) {
	head := make([]byte, logHeader)
	if db.logSize < logHeader {
		return nil, nil
	}
	if err := readFull(db.log, head, 0); err != nil {
		return nil, err
	}
	magic := binary.BigEndian.Uint32(head)
	sum := &logSum{order: binary.LittleEndian}
	if magic&1 != 0 {
		sum.order = binary.BigEndian
	}
	sum.add(head[:24])
	if magic&^1 != logMagic || binary.BigEndian.Uint32(head[4:]) != logVersion ||
		int64(binary.BigEndian.Uint32(head[8:])) != page || !sum.is(head[24:]) {
		return nil, nil
	}
	l := &sqliteLog{db: db, page: page, frame: map[uint32]uint32{}}
	commits, err := l.scan(ctx, head[16:24], sum)
	if err != nil || commits == 0 {
		return nil, err
	}
	return l, l.index(ctx, commits)
}

// scan checks the frames and returns how many there are up to the end of the last transaction.
func (l *sqliteLog) scan(ctx context.Context, salts []byte, sum *logSum) (commits uint32, err error) {
	frame := make([]byte, logFrame+l.page)
	for i := uint32(0); l.offset(i+1) <= l.db.logSize; i++ {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if err := readFull(l.db.log, frame, l.offset(i)); err != nil {
			return 0, err
		}
		sum.add(frame[:8])
		sum.add(frame[logFrame:])
		if string(frame[8:16]) != string(salts) || !sum.is(frame[16:]) || binary.BigEndian.Uint32(frame) == 0 {
			break
		}
		if n := binary.BigEndian.Uint32(frame[4:]); n > 0 {
			commits, l.pages = i+1, n
		}
	}
	return commits, nil
}

// index notes where the last version of each page is.
func (l *sqliteLog) index(ctx context.Context, frames uint32) error {
	number := make([]byte, 4)
	for i := range frames {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := readFull(l.db.log, number, l.offset(i)); err != nil {
			return err
		}
		if n := binary.BigEndian.Uint32(number); n <= l.pages {
			l.frame[n] = i
		}
	}
	return nil
}

func (l *sqliteLog) offset(frame uint32) int64 { return logHeader + int64(frame)*(logFrame+l.page) }

// read reads a page if the log has it.
func (l *sqliteLog) read(n uint32, page []byte) (bool, error) {
	i, ok := l.frame[n]
	if !ok {
		return false, nil
	}
	return true, readFull(l.db.log, page, l.offset(i)+logFrame)
}

// logSum is the checksum of a log.
type logSum struct {
	order  binary.ByteOrder
	s0, s1 uint32
}

// add takes a multiple of 8 bytes.
func (s *logSum) add(b []byte) {
	for ; len(b) >= 8; b = b[8:] {
		s.s0 += s.order.Uint32(b) + s.s1
		s.s1 += s.order.Uint32(b[4:]) + s.s0
	}
}

// is compares the sum with one that was written.
func (s *logSum) is(b []byte) bool {
	return s.s0 == binary.BigEndian.Uint32(b) && s.s1 == binary.BigEndian.Uint32(b[4:])
}
