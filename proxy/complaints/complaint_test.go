package complaints

import "testing"

// TestComplaint runs one test for each complaint, by the project and the number of the issue, or pull request, that it was
// filed under. What has no number was seen by trying.
func TestComplaint(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"distribution#3423_#4505_one_upstream_only":            severalUpstreams,
		"distribution#3969_#harbor22184_N_clients_N_downloads": coldPullsCoalesce,
		"distribution#4667_range_ignored_on_a_cold_blob":       coldRange,
		"distribution_cold_HEAD_downloads_the_whole_blob":      coldHead,
		"distribution#4649_a_cache_write_dies_with_its_client": clientLeaves,
		"distribution#4545_upstream_307_not_followed":          redirected,
		"distribution#1898_no_upstream_CA":                     privateAuthority,
		"distribution#4747_chained_caches_break":               chained,
		"distribution#4599_several_storage_requests_per_blob":  storageRequests,
		"distribution#4896_full_disk_hangs_or_opaque_500":      fullDisk,
		"distribution_unknown_digest_500_outage_404":           unknownAndOutage,
		"distribution_no_referrers":                            referrers,
		"distribution#4957_blobs_never_reclaimed":              blobsReclaimed,
		"distribution#3539_no_size_limit":                      sizeLimited,
		"distribution#4191_#2367_blob_removed_while_read":      removedWhileRead,
		"distribution#4352_changed_times_ignored":              timesChange,
		"kuik#540_images_in_use_removed":                       usedStays,
		"harbor#22490_upstream_unhealthy_cached_image_fails":   cachedWithoutUpstream,
		"harbor#22415_image_deleted_upstream":                  deletedUpstream,
		"harbor#23875_cold_range_downloads_twice":              coldRangeOnce,
		"harbor#18335_tags_not_saved":                          tagsSaved,
		"harbor#19910_index_never_stored_when_only_HEAD_asks":  indexByHead,
		"harbor#22555_large_layers_fail_verification":          largeLayer,
		"harbor#23601_200_to_a_ranged_resume_corrupts":         resumeAnsweredWhole,
		"harbor#18707_429_not_passed_through":                  rateLimitPassedThrough,
		"harbor#22609_cold_blob_HEAD_gives_404":                coldHead,
		"zot#2416_#3359_#4323_first_pull_times_out":            firstPullStreams,
		"zot#4393_every_tag_pull_walks_the_upstream":           cachedPullIsOneHead,
		"zot#4128_offline_tag_pulls_hang":                      silentUpstream,
		"zot#4357_one_stale_work_directory_hangs_all":          staleWorkDirectory,
		"zot#2410_bandwidth_cap":                               bandwidthCap,
		"zot#3129_pulls_all_architectures":                     onlyConfiguredPlatforms,
		"rpardini#104_authentication_at_the_upstream":          tokenAuthentication,
		"spegel#1159_stuck_until_restart":                      recovers,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}
