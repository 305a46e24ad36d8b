package rpmdb

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-oci/strata/rechunk/pkgdb/installed"
	"github.com/strata-oci/strata/rechunk/tree"
)

func TestDecodePackage(t *testing.T) {
	t.Parallel()
	sum := strings.Repeat("ab", 32)
	digest := tree.Digest(bytes.Repeat([]byte{0xab}, 32))
	name := field{tagName, "a"}
	one := []field{name, {tagBaseNames, []string{"f"}}, {tagDirNames, []string{"/d/"}}, {tagDirIndexes, []uint32{0}}}
	for label, tc := range map[string]struct {
		blob []byte
		want decoded
	}{
		"usual": {someHeader("x"), decoded{
			installed.Package{Name: "x", Source: "x-src", Version: "1-2.fc42", Own: "1-2.fc42", BuildTime: 1700000000,
				Changes: []int64{9, 7, 5}},
			[]installed.File{
				{Path: "/usr/bin", Kind: tree.Dir, Size: 4096},
				{Path: "/usr/bin/x", Kind: tree.Regular, Size: 3, Ghost: true},
			},
		}},
		"no source": {
			buildHeader(name, field{tagVersion, "1"}, field{tagRelease, "2"}, field{tagEpoch, []uint32{3}}),
			decoded{Package: installed.Package{Name: "a", Source: "a", Version: "3:1-2", Own: "3:1-2"}},
		},
		"whole paths": {
			buildHeader(name, field{tagOldFileNames, []string{"/a", "/b"}}),
			decoded{installed.Package{Name: "a", Source: "a", Version: "-", Own: "-"},
				[]installed.File{{Path: "/a"}, {Path: "/b"}}},
		},
		"long sizes and digests": {
			buildHeader(append(one, field{tagLongFileSizes, []uint64{5 << 32}}, field{tagFileSizes, []uint32{7}},
				field{tagFileDigestAlgo, []uint32{algoSHA256}}, field{tagFileDigests, []string{sum}})...),
			decoded{installed.Package{Name: "a", Source: "a", Version: "-", Own: "-"}, []installed.File{
				{Path: "/d/f", Size: 5 << 32, Digest: digest, HasDigest: true},
			}},
		},
		"digests of another kind": {
			buildHeader(append(one, field{tagFileDigests, []string{sum}})...),
			decoded{installed.Package{Name: "a", Source: "a", Version: "-", Own: "-"}, []installed.File{{Path: "/d/f"}}},
		},
		"a second value wins": {
			buildHeader(name, field{tagName, "b"}),
			decoded{Package: installed.Package{Name: "b", Source: "b", Version: "-", Own: "-"}},
		},
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			got, ok, err := decode(tc.blob)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("package (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodePackageDamaged(t *testing.T) {
	t.Parallel()
	name := field{tagName, "a"}
	files := []field{name, {tagBaseNames, []string{"f", "g"}}, {tagDirNames, []string{"/d/"}}}
	cut := someHeader("x")
	far := buildHeader(name)
	binary.BigEndian.PutUint32(far[preamble+8:], 1000)
	unended := buildHeader(name)
	unended[len(unended)-1] = 'a'
	for label, blob := range map[string][]byte{
		"empty":              nil,
		"cut":                cut[:len(cut)-1],
		"many tags":          {0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0},
		"much store":         {0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff},
		"outside":            far,
		"string without end": unended,
		"no name":            buildHeader(field{tagVersion, "1"}),
		"long name":          buildHeader(field{tagName, strings.Repeat("a", 256)}),
		"long version":       buildHeader(name, field{tagVersion, strings.Repeat("1", 256)}),
		"name of integers":   buildHeader(field{tagName, []uint32{1}}),
		"time of letters":    buildHeader(name, field{tagBuildTime, "now"}),
		"no indexes":         buildHeader(files...),
		"index too high":     buildHeader(append(files, field{tagDirIndexes, []uint32{0, 1}})...),
		"modes missing": buildHeader(append(files, field{tagDirIndexes, []uint32{0, 0}},
			field{tagFileModes, []uint16{1}})...),
		"more directories": buildHeader(name, field{tagBaseNames, []string{"f"}},
			field{tagDirNames, []string{"/", "/a/"}}),
		"long path": buildHeader(name, field{tagBaseNames, []string{strings.Repeat("f", 4000)}},
			field{tagDirNames, []string{strings.Repeat("d", 100)}}, field{tagDirIndexes, []uint32{0}}),
	} {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			if _, ok, err := decode(blob); ok && err == nil || !errors.Is(err, installed.ErrDamaged) {
				t.Errorf("decodePackage: %v, %v, want damage", ok, err)
			}
		})
	}
}

func TestPublicKeysAreNoPackages(t *testing.T) {
	t.Parallel()
	if _, ok, err := decode(buildHeader(field{tagName, publicKey})); ok || err != nil {
		t.Errorf("decodePackage: %v, %v", ok, err)
	}
}

func TestSplitSourceRPM(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][2]string{
		"glibc-2.41-5.fc42.src.rpm":            {"glibc", "2.41-5.fc42"},
		"java-21-openjdk-21.0.1-1.el9.src.rpm": {"java-21-openjdk", "21.0.1-1.el9"},
		"nvidia-1-2.nosrc.rpm":                 {"nvidia", "1-2"},
		"-1-2.src.rpm":                         {},
		"a-1.src.rpm":                          {},
		"(none)":                               {},
		"":                                     {},
	} {
		name, version, ok := splitSourceRPM(file)
		if name != want[0] || version != want[1] || ok != (name != "") {
			t.Errorf("splitSourceRPM(%q) = %q, %q, %v", file, name, version, ok)
		}
	}
}
