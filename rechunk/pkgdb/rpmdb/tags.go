package rpmdb

// The header tags that are read, with rpm's names and numbers (include/rpm/rpmtag.h).
const (
	tagName           = 1000
	tagVersion        = 1001
	tagRelease        = 1002
	tagEpoch          = 1003
	tagBuildTime      = 1006
	tagArch           = 1022
	tagOldFileNames   = 1027
	tagFileSizes      = 1028
	tagFileModes      = 1030
	tagFileDigests    = 1035
	tagFileFlags      = 1037
	tagSourceRPM      = 1044
	tagChangelogTime  = 1080
	tagChangelogName  = 1081
	tagChangelogText  = 1082
	tagDirIndexes     = 1116
	tagBaseNames      = 1117
	tagDirNames       = 1118
	tagLongFileSizes  = 5008
	tagFileDigestAlgo = 5011
)

// wantedTags is how many tags wanted knows.
const wantedTags = 20

// wanted reports whether a tag is one of those above.
func wanted(tag uint32) bool {
	switch tag {
	case tagName, tagVersion, tagRelease, tagEpoch, tagBuildTime, tagOldFileNames, tagFileSizes, tagFileModes,
		tagFileDigests, tagFileFlags, tagSourceRPM, tagChangelogTime, tagDirIndexes, tagBaseNames, tagDirNames,
		tagLongFileSizes, tagFileDigestAlgo, tagArch, tagChangelogName, tagChangelogText:
		return true
	}
	return false
}

const (
	// flagGhost is RPMFILE_GHOST: the package owns the path and does not ship it.
	flagGhost = 1 << 6
	// algoSHA256 is SHA-256 in FILEDIGESTALGO, which uses OpenPGP's numbers. Without the tag digests are MD5.
	algoSHA256 = 8
)
