package rpmdb

import "github.com/strata-oci/strata/rechunk/pkgdb/rpmtest"

// field is a header entry: a tag and its value, of the types that rpmtest.Field takes.
type field struct {
	tag   uint32
	value any
}

// buildHeader encodes a header.
func buildHeader(fields ...field) []byte {
	list := make([]rpmtest.Field, len(fields))
	for i, f := range fields {
		list[i] = rpmtest.Field{Tag: f.tag, Value: f.value}
	}
	return rpmtest.Header(list...)
}

// someHeader is the header of a small package.
func someHeader(name string) []byte {
	return buildHeader(
		field{tagName, name}, field{tagVersion, "1"}, field{tagRelease, "2.fc42"},
		field{tagSourceRPM, name + "-src-1-2.fc42.src.rpm"},
		field{tagBuildTime, []uint32{1700000000}}, field{tagChangelogTime, []uint32{5, 9, 9, 7}},
		field{tagBaseNames, []string{"bin", "x"}}, field{tagDirNames, []string{"/usr/", "/usr/bin/"}},
		field{tagDirIndexes, []uint32{0, 1}}, field{tagFileModes, []uint16{0x41ed, 0x81ed}},
		field{tagFileSizes, []uint32{4096, 3}}, field{tagFileFlags, []uint32{0, flagGhost}},
	)
}
